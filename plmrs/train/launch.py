"""Processes that torchrun or srun started together, on one machine or several, all from the same command line.

The first one makes what is missing and the run's folder, as it does where it starts the others itself; they wait until
it tells them the folder. All need the workspace on a folder they share.
"""

import datetime
import os
from dataclasses import dataclass
from pathlib import Path

from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from plmrs.errors import UserError

WAITING = datetime.timedelta(days=30)
"""The first process may compute a cache before it tells the folder."""


@dataclass(frozen=True)
class Launch:
    """How this process came to be.

    Attributes:
        environment: What tells the trainer of the other processes.
        rank: This process's number among all.
        n_nodes: Machines.
        store: Where the first process leaves the run's folder; None where it starts the others itself.
    """

    environment: ClusterEnvironment
    rank: int = 0
    n_nodes: int = 1
    store: TCPStore | None = None

    def tell(self, folder: Path) -> None:
        """Tell the waiting processes the run's folder."""
        if self.store is not None and self.rank == 0:
            self.store.set("folder", str(folder.absolute()))

    def told(self) -> Path | None:
        """The run's folder, once the first process knows it; None in the first itself."""
        if self.store is None or self.rank == 0:
            return None
        self.store.wait(["folder"], WAITING)
        return Path(self.store.get("folder").decode())


def this_launch(n_devices: int) -> Launch:
    """How this process was started: by torchrun, by srun, or by the user or a first process of its own.

    Raises:
        UserError: a machine has more or fewer processes than devices.
    """
    environment: ClusterEnvironment
    if TorchElasticEnvironment.detect():
        environment, n_nodes, by = TorchElasticEnvironment(), int(os.environ.get("GROUP_WORLD_SIZE", 1)), "torchrun"
    elif int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        # Of a job's variables only those of a step, which srun sets, tell that this command runs as several tasks.
        environment, n_nodes, by = SLURMEnvironment(), int(os.environ.get("SLURM_STEP_NUM_NODES", 1)), "srun"
    else:
        own = LightningEnvironment()
        return Launch(own, own.local_rank())
    n, rank = environment.world_size(), environment.global_rank()
    if n != n_nodes * n_devices:
        each = n // n_nodes
        raise UserError(
            f"{by} started {n} processes on {n_nodes} machine{'s' * (n_nodes > 1)}, but --devices names {n_devices} on"
            " each.",
            f"Give --devices {' '.join(map(str, range(each)))}, or start {n_devices} a machine.",
        )
    if n == 1:
        return Launch(environment)
    # The port behind the one on which the processes will meet to train.
    store = TCPStore(environment.main_address, environment.main_port + 1, n, rank == 0, WAITING)
    return Launch(environment, rank, n_nodes, store)
