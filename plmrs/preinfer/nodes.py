"""This machine among several that share a folder: which units are its own, and waiting for the others'."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from plmrs.config import NodeOptions
from plmrs.errors import UserError
from plmrs.report import Progress

SECONDS = 2.0
"""Between two looks at what the others have done."""


@dataclass(frozen=True)
class Node:
    """A machine's number among `n`."""

    rank: int
    n: int

    def own(self, units: list[int]) -> list[int]:
        """This machine's share of some units.

        Example: node 1 of 2 has of the units `[0, 1, 4, 5]` the units `[1, 5]`.
        """
        return [unit for unit in units if unit % self.n == self.rank]


def this_node(options: NodeOptions, progress: Progress, environment: Mapping[str, str] = os.environ) -> Node:
    """Which node this is: by options, else by srun's or torchrun's variables, else the only one.

    A SLURM job of several nodes runs its batch script on the first of them alone, with variables that name all; only
    those of a step, which srun sets, tell where this command runs. What the job has besides is said.

    Raises:
        UserError: the rank is not below the number of nodes, or one of both is missing.
    """
    n, rank = options.num_nodes, options.node_rank
    if n is None and rank is None:
        for n_name, rank_name in (("SLURM_STEP_NUM_NODES", "SLURM_NODEID"), ("GROUP_WORLD_SIZE", "GROUP_RANK")):
            if environment.get(n_name, "").isdecimal() and environment.get(rank_name, "").isdecimal():
                n, rank = int(environment[n_name]), int(environment[rank_name])
                break
        else:
            allotted = environment.get("SLURM_JOB_NUM_NODES", environment.get("SLURM_NNODES", ""))
            if allotted.isdecimal() and int(allotted) > 1:
                progress.say(f"Works on this node alone of SLURM's {allotted}: start it with `srun` to use all.")
    if rank is not None and n is None:
        raise UserError(f"--node-rank {rank} is given without --num-nodes.", "Give both, on each machine its own rank.")
    n = n or 1
    if rank is None and n > 1:
        raise UserError(f"--num-nodes {n} is given without --node-rank.", f"Give each machine its own, 0 to {n - 1}.")
    if (rank or 0) >= n:
        raise UserError(f"--node-rank {rank} is not below --num-nodes {n}.", f"Ranks are 0 to {n - 1}.")
    return Node(rank or 0, n)


def wait_for(left: Callable[[], int], what: str, progress: Progress) -> None:
    """Wait until `left()` is 0, and tell once what is waited for."""
    if left():
        progress.say(f"Waiting for the other machines: {left():,} {what} are left.")
    while left():
        time.sleep(SECONDS)
