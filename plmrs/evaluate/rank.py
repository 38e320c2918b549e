"""Ranks of every held-out user's target by several methods, in one process or in one a device."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from plmrs.data.splits import HeldOut
from plmrs.evaluate.methods import Method
from plmrs.model.ranking import blocks, new_buffer, rank_block
from plmrs.processes import Send, in_turn
from plmrs.report import Advance


@dataclass(frozen=True)
class Task:
    """What is ranked.

    Attributes:
        methods: By name.
        users: Whose targets.
        n_items: Items there are.
        mask: Whether items that were taken before get no rank.
        left_out: Items that are no candidates; None where all are. [items] bool
        k: Length of the lists that are counted.
        memory: Bytes of what is scored at once.
    """

    methods: Mapping[str, Method]
    users: HeldOut
    n_items: int
    mask: bool
    left_out: NDArray[np.bool_] | None
    k: int
    memory: int


@dataclass(frozen=True)
class Ranked:
    """What a method was found to do.

    Attributes:
        ranks: Of each user's target, from 1. [users] int64
        shown: How many users' lists of the best k each item is in. [items] int64
    """

    ranks: NDArray[np.int64]
    shown: NDArray[np.int64]


@torch.inference_mode()
def rank(task: Task, device: torch.device, advance: Advance, process: int = 0, processes: int = 1) -> dict[str, Ranked]:
    """Rank one process's share of the users by each method."""
    left_out = None if task.left_out is None else torch.from_numpy(task.left_out).to(device)
    buffer = new_buffer(task.n_items, task.memory, device)
    mine = blocks(len(task.users), process, processes)
    found = {}
    for name, method in task.methods.items():
        scorer = method.on(device)
        ranks = [np.zeros(0, np.int64)]
        shown = torch.zeros(task.n_items + 1, dtype=torch.int64, device=device)
        for block in mine:
            users = task.users.take(block)
            scores = scorer(users.inputs)
            own, columns = rank_block(scores, users, task.n_items, buffer, task.mask, left_out, task.k)
            ranks.append(own.cpu().numpy())
            if columns is not None:
                shown += torch.bincount(columns.reshape(-1) + 1, minlength=task.n_items + 1)
            advance(len(users))
        found[name] = Ranked(np.concatenate(ranks), shown[1:].cpu().numpy())
    return found


def rank_in_processes(task: Task, devices: Sequence[torch.device], advance: Advance) -> dict[str, Ranked]:
    """What `rank` gives, by a process a device.

    Raises:
        UserError: a process failed.
    """
    n = len(devices)
    found: dict[int, dict[str, Ranked]] = {}
    for number, message in in_turn(_share, replace(task, memory=task.memory // n), devices):
        if isinstance(message, int):
            advance(message)
        else:
            found[number] = message
    return {
        name: Ranked(
            np.concatenate([found[number][name].ranks for number in range(n)]),
            np.sum([found[number][name].shown for number in range(n)], axis=0),
        )
        for name in task.methods
    }


def _share(task: Task, device: torch.device, process: int, processes: int, send: Send) -> None:
    """Send how many users were ranked as they are, and at last what was found."""
    send(rank(task, device, lambda n=1, note="": send(n), process, processes))
