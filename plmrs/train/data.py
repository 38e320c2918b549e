"""Batches of an epoch: windows gathered from flat arrays, in an order that follows from seed and epoch alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plmrs.config import ModelOptions, TrainerOptions
from plmrs.data.dataset import Histories
from plmrs.data.windows import padded, training_windows


@dataclass(frozen=True)
class Batches:
    """The batches one process reads in one epoch, each [≤ batch_size, ≤ L + 1] int64 item numbers.

    Processes deal the shuffled windows in turn; where they do not come out even the first ones are dealt again, so that
    every process takes the same number of steps.

    Attributes:
        windows: All windows of the epoch.
        order: This process's windows, in the order it reads them. [windows / processes]
        batch_size: Windows a step.
        length: Positions with a target, L.
    """

    windows: Histories
    order: NDArray[np.int64]
    batch_size: int
    length: int

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        for first in range(0, len(self.order), self.batch_size):
            chosen = self.windows.take(self.order[first : first + self.batch_size])
            yield torch.from_numpy(padded(chosen, self.length + 1))


def epoch_batches(
    train: Histories, model: ModelOptions, trainer: TrainerOptions, epoch: int, rank: int = 0, processes: int = 1
) -> Batches:
    """The batches of process `rank` in epoch `epoch` (from 0)."""
    rng = np.random.default_rng([trainer.seed, epoch])
    windows = training_windows(train, model.sasrec_seq_len, trainer.windows, rng)
    order = rng.permutation(len(windows))
    share = -(-len(order) // processes)
    order = np.resize(order, share * processes)[rank::processes]
    return Batches(windows, order, trainer.batch_size, model.sasrec_seq_len)


def user_chunks(users: int, at_once: int, rank: int = 0, processes: int = 1) -> list[slice]:
    """Process `rank`'s share of the users, each user in exactly one process, at most `at_once` a chunk."""
    bounds = np.linspace(0, users, processes + 1).astype(int)
    first, last = int(bounds[rank]), int(bounds[rank + 1])
    return [slice(start, min(start + at_once, last)) for start in range(first, last, at_once)]
