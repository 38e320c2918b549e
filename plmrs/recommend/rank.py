"""The best items of many users: blocks of users, chunks of items, and of each block k numbers a user kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plmrs.data.dataset import Histories
from plmrs.model.encoder import UserEncoder
from plmrs.model.ranking import USERS, Products, blocks, chunks, mask_seen, new_buffer
from plmrs.model.topk import top_items
from plmrs.processes import Send, in_turn


@dataclass(frozen=True)
class Task:
    """What is recommended to whom.

    Attributes:
        encoder: The trained model.
        vectors: Items' vectors as it reads them. [items, H]
        candidates: Items' vectors as those of users are multiplied with them. [items, H]
        histories: What each user took; the whole of it is left out, the end of it read.
        k: Items a user.
        mask: Whether what a user took is left out.
        left_out: Items that are no candidates; None where all are. [items] bool
        memory: Bytes of what is scored at once.
    """

    encoder: UserEncoder
    vectors: Tensor
    candidates: Tensor
    histories: Histories
    k: int
    mask: bool
    left_out: Tensor | None
    memory: int

    def on(self, device: torch.device) -> "Task":
        """The same with what is computed with on a device."""
        left_out = None if self.left_out is None else self.left_out.to(device)
        vectors, candidates = self.vectors.to(device), self.candidates.to(device)
        return replace(self, encoder=self.encoder.to(device), vectors=vectors, candidates=candidates, left_out=left_out)


class Best(NamedTuple):
    """The best items of some users, best first.

    Attributes:
        users: Which of the histories.
        scores: -inf where fewer than k items are left. [users, k] float32
        rows: Rows of the catalogue, -1 likewise. [users, k] int64
    """

    users: slice
    scores: NDArray[np.float32]
    rows: NDArray[np.int64]


def best_items(task: Task, devices: Sequence[torch.device]) -> Iterator[Best]:
    """The best k items of each user, a block of users at a time; on several devices by a process each.

    Raises:
        UserError: a process failed.
    """
    n = min(len(devices), len(blocks(len(task.histories))))
    if n < 2:
        yield from _blocks(task.on(devices[0]), 0, 1)
        return
    for _, best in in_turn(_share, replace(task, memory=task.memory // n), devices[:n]):
        yield best


def _share(task: Task, device: torch.device, process: int, processes: int, send: Send) -> None:
    """Send one process's blocks; the first of each process, then the second of each, are all in order."""
    for best in _blocks(task.on(device), process, processes):
        send(best)


@torch.inference_mode()
def _blocks(task: Task, process: int, processes: int) -> Iterator[Best]:
    """Every so many blocks one, from one process's first on."""
    n_items = len(task.candidates)
    buffer = new_buffer(n_items, task.memory, task.candidates.device)
    for block in blocks(len(task.histories))[process::processes]:
        some = task.histories.take(block)
        queries = task.encoder.of_histories(some, task.vectors, USERS)
        if len(some) < USERS:
            queries = torch.nn.functional.pad(queries, (0, 0, 0, USERS - len(some)))

        def parts(queries: Tensor = queries, some: Histories = some) -> Iterator[tuple[int, Tensor]]:
            for first, part in chunks(Products(queries, task.candidates), USERS, n_items, buffer):
                part = part[: len(some)]
                if task.left_out is not None:
                    part.masked_fill_(task.left_out[first : first + part.shape[1]], -torch.inf)
                yield first, mask_seen(part, some, first=first) if task.mask else part

        scores, rows = top_items(parts(), task.k)
        yield Best(block, scores.cpu().numpy(), rows.cpu().numpy())
