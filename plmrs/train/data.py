"""Batches of an epoch: windows gathered from flat arrays, in an order that follows from seed and epoch alone."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from plmrs.config import LossOptions, ModelOptions, TrainerOptions
from plmrs.data.dataset import Histories
from plmrs.data.negatives import sampled_negatives, sampling_probabilities, uniform_negatives
from plmrs.data.splits import training_counts
from plmrs.data.windows import padded, training_windows
from plmrs.model.batch import Batch
from plmrs.model.inputs import ItemInputs, Texts


@dataclass(frozen=True)
class Sampling:
    """What a loss needs beside windows, the same in every epoch.

    Attributes:
        loss: The loss, with its defaults filled in.
        candidates: The items that a target is ranked among, ascending. [candidates] int64
        train: Whole training histories; negatives lie outside of a user's.
        by_start: Its users in the order of their histories' starts. [users] int64
        probabilities: Of each of `candidates` to be drawn by `sampled`.
        inputs: What the PLM's live blocks read; None where there are none.
        seed: Of the negatives.
    """

    loss: LossOptions
    candidates: NDArray[np.int64]
    train: Histories
    by_start: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    inputs: ItemInputs | None
    seed: int
    _all_texts: list[Texts] = field(default_factory=list, repr=False)

    def batch(self, windows: Histories, length: int, draw: tuple[int, int, int]) -> Batch:
        """The batch of some windows; `draw` tells its negatives from those of all others."""
        items = padded(windows, length + 1)
        negatives, needed = self._negatives(windows, items, draw)
        texts = None
        if self.inputs is not None:
            texts = self.inputs(needed - 1) if needed is not None else self._every_text()
        return Batch(
            torch.from_numpy(items),
            None if needed is None else torch.from_numpy(needed),
            None if negatives is None else torch.from_numpy(negatives),
            texts,
        )

    def _negatives(
        self, windows: Histories, items: NDArray[np.int64], draw: tuple[int, int, int]
    ) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
        """What is drawn by chance, and the items whose vectors are needed; None for all candidates."""
        if self.loss.loss == "ce":
            return None, None
        rng, n = np.random.default_rng([self.seed, *draw]), self.loss.negatives or 1
        real = items[items > 0]
        if self.loss.loss == "in_batch":
            return None, np.unique(real)
        if self.loss.loss == "sampled":
            drawn = self.candidates[sampled_negatives(rng, n, self.probabilities)]
        else:
            histories = self._whole(windows)
            drawn = uniform_negatives(rng, histories, n * (items.shape[1] - 1), self.candidates)
            drawn = drawn.reshape(len(items), items.shape[1] - 1, n)  # [B, L · n] -> [B, L, n]
            drawn[items[:, 1:] == 0] = 0  # Nothing is compared with padding.
        needed = np.unique(np.concatenate([real, drawn.reshape(-1)]))
        return drawn, needed[needed > 0]

    def _whole(self, windows: Histories) -> Histories:
        """The whole training history of each window's user."""
        user = self.by_start[np.searchsorted(self.train.start[self.by_start], windows.start, side="right") - 1]
        return self.train.take(user)

    def _every_text(self) -> Texts:
        """The texts of all candidates, read once."""
        if not self._all_texts:
            assert self.inputs is not None
            self._all_texts.append(self.inputs(self.candidates - 1))
        return self._all_texts[0]


def new_sampling(
    train: Histories, n_items: int, loss: LossOptions, trainer: TrainerOptions, inputs: ItemInputs | None
) -> Sampling:
    """What a loss needs of a data set's training histories."""
    counts = training_counts(train, n_items)
    rows = np.flatnonzero(counts > 0) if loss.loss_items == "train" else np.arange(n_items)
    by_start = np.argsort(train.start, kind="stable")
    return Sampling(loss, rows + 1, train, by_start, sampling_probabilities(counts[rows]), inputs, trainer.seed)


@dataclass(frozen=True)
class Batches:
    """The batches one process reads in one epoch.

    Processes deal the shuffled windows in turn; where they do not come out even the first ones are dealt again, so that
    every process takes the same number of steps.

    Attributes:
        windows: All windows of the epoch.
        order: This process's windows, in the order it reads them. [windows / processes]
        batch_size: Windows a batch.
        length: Positions with a target, L.
        sampling: What the loss needs besides.
        epoch: The epoch, from 0.
        rank: The process.
        ahead: Threads that make batches ahead of the one that is trained on.
        first: The batch it begins with, where an epoch goes on.
        accumulate: Batches that make a step together.
    """

    windows: Histories
    order: NDArray[np.int64]
    batch_size: int
    length: int
    sampling: Sampling
    epoch: int
    rank: int
    ahead: int = 0
    first: int = 0
    accumulate: int = 1

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        if not self.ahead:
            yield from map(self.batch, range(self.first, len(self)))
            return
        waiting: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(self.ahead) as threads:
            for index in range(self.first, len(self)):
                waiting.append(threads.submit(self.batch, index))
                if len(waiting) > self.ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def batch(self, index: int) -> Batch:
        """The batch of a number, from 0."""
        made = self.sampling.batch(self._windows(index, index + 1), self.length, (self.epoch, self.rank, index))
        first = index - index % self.accumulate
        targets = (self._windows(first, first + self.accumulate).lengths - 1).sum()
        return made._replace(step_targets=torch.tensor(targets))

    def _windows(self, first: int, stop: int) -> Histories:
        """The windows of batches first…stop-1."""
        return self.windows.take(self.order[first * self.batch_size : stop * self.batch_size])


def epoch_batches(
    sampling: Sampling,
    model: ModelOptions,
    trainer: TrainerOptions,
    epoch: int,
    rank: int = 0,
    processes: int = 1,
    accumulate: int = 1,
) -> Batches:
    """The batches of process `rank` in epoch `epoch` (from 0), of which `accumulate` make a step."""
    rng = np.random.default_rng([trainer.seed, epoch])
    windows = training_windows(sampling.train, model.sasrec_seq_len, trainer.windows, rng)
    order = rng.permutation(len(windows))
    share = -(-len(order) // processes)
    order = np.resize(order, share * processes)[rank::processes]
    return Batches(
        windows,
        order,
        trainer.batch_size,
        model.sasrec_seq_len,
        sampling,
        epoch,
        rank,
        trainer.num_workers,
        accumulate=accumulate,
    )


def user_chunks(users: int, at_once: int, rank: int = 0, processes: int = 1) -> list[slice]:
    """Process `rank`'s share of the users, each user in exactly one process, at most `at_once` a chunk."""
    bounds = np.linspace(0, users, processes + 1).astype(int)
    first, last = int(bounds[rank]), int(bounds[rank + 1])
    return [slice(start, min(start + at_once, last)) for start in range(first, last, at_once)]
