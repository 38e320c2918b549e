"""Where things lie, and where to compute."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from plmrs.config.kinds import Ids, Positive
from plmrs.section import Section, option
from plmrs.workspace import Workspace


class WorkspaceOptions(Section):
    """Where things lie."""

    panel = "Workspace"
    root: Path = option(Path("data"), "Folder of raw files, prepared data sets and caches.", env="PLMRS_ROOT")
    runs: Path = option(Path("runs"), "Folder of trained models.", env="PLMRS_RUNS")

    def open(self) -> Workspace:
        """The workspace these options name."""
        return Workspace(self.root, self.runs)


class NodeOptions(Section):
    """Several machines on a shared folder."""

    panel = "Devices"
    num_nodes: Positive | None = option(None, "Machines that share the work. Default: as srun or torchrun say, or 1.")
    node_rank: Annotated[int, Field(ge=0)] | None = option(None, "This machine's number, from 0. Default: likewise.")


class DeviceOptions(Section):
    """Where to compute."""

    panel = "Devices"
    accelerator: Literal["auto", "cpu", "gpu"] = option("auto", "Kind of device.")
    devices: Ids | None = option(None, "Device ids, as in 0 1; on the cpu each id is a process. Default: one device.")
