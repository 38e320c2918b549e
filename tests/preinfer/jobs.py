"""Runs of `preinfer` on tiny PLMs, and what they leave."""

from pathlib import Path
from typing import Any

from listening import Listening

from plmrs.cache.find import open_cache
from plmrs.cache.store import Cache
from plmrs.config import PreinferConfig
from plmrs.preinfer import nodes
from plmrs.preinfer.command import preinfer
from plmrs.report import Silent, Table
from plmrs.workspace import Workspace


def settings(workspace: Workspace, plm: Path | str, **options: Any) -> dict[str, Any]:
    """The options of a run on the CPU in fp32, unless they say otherwise."""
    basic = {"root": workspace.root, "runs": workspace.runs, "accelerator": "cpu", "precision": "32"}
    return {**basic, "plm_name": str(plm), **options}


def run(workspace: Workspace, plm: Path | str, progress: Any = None, **options: Any) -> Table:
    """Run `preinfer`; what it shows."""
    config = PreinferConfig.from_flat(settings(workspace, plm, **options))
    (table,) = preinfer(config, Listening() if progress is None else progress)
    return table


def encode(workspace: Workspace, plm: Path | str, progress: Any = None, **options: Any) -> Cache:
    """Run `preinfer`; the cache it names."""
    told = run(workspace, plm, progress, **options).notes[0]
    return open_cache(Path(told.removeprefix("It lies at ").removesuffix(".")))


def work(given: dict[str, Any]) -> None:
    """Run `preinfer` in a process of its own, which looks often at what other machines have done."""
    nodes.SECONDS = 0.05
    preinfer(PreinferConfig.from_flat(given), Silent())


def caches(workspace: Workspace) -> list[str]:
    """The boundaries of the caches of a workspace, and anything else that lies beside them, but for locks."""
    found = (path.name for path in (workspace.root / "cache").glob("*/*/*") if not path.name.endswith(".lock"))
    return sorted(name.partition("-")[0] if name.endswith(".zarr") else name for name in found)


def chunks(cache: Cache) -> dict[str, bytes]:
    """What a cache holds, by file, but for its done-marks."""
    return {
        str(file.relative_to(cache.path)): file.read_bytes() for file in cache.path.glob("*/c/**/*") if file.is_file()
    }
