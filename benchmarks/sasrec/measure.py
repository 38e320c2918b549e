"""What the measured programs share: their data, a clock over training steps, and what they hand back.

Runs in the environment of each library, so it needs PyTorch and NumPy alone.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

LENGTH, WIDTH, BLOCKS, HEADS, DROPOUT = 50, 64, 2, 2, 0.2
BATCH, RATE = 128, 1e-3

USERS_AT_ONCE = 256


@dataclass(frozen=True)
class Task:
    """What a program is to do.

    Attributes:
        n_items: Items are numbered from 1 to this.
        windows: Last items of each user to train on, padded with 0 on the right. [users, L + 1] int64
        histories: Items before each user's test target, padded with 0 on the right. [users, L] int64
        result: Folder for result.json and scores.npy.
        seconds: How long to train, from the end of the first step.
        started: When the process was started. [seconds since 1970]
        more: What the command line says besides.
    """

    n_items: int
    windows: NDArray[np.int64]
    histories: NDArray[np.int64]
    result: Path
    seconds: float
    started: float
    more: list[str]

    @property
    def targets(self) -> int:
        """Items in all windows that have one before them."""
        return int((self.windows[:, 1:] > 0).sum())


class TimeIsUpError(Exception):
    """Raised in a training step to end the training, whatever loop is around it."""


class Clock:
    """Notes the end of every optimiser step; the same for any loop, for it hangs on PyTorch's optimisers.

    Args:
        task: How long to train.
        rows: Training rows of an epoch, dealt out in batches; by default the windows.
    """

    def __init__(self, task: Task, rows: int | None = None) -> None:
        self.task = task
        self.rows = rows or len(task.windows)
        self.ends: list[float] = []
        register_optimizer_step_post_hook(self._tick)

    def _tick(self, *_: object) -> None:
        self.ends.append(time.time())
        if self.ends[-1] - self.ends[0] >= self.task.seconds:
            raise TimeIsUpError

    def windows_per_second(self) -> float:
        """Median over the steps behind the first, each from the end of the one before it to its own."""
        steps = -(-self.rows // BATCH)
        sizes = np.minimum(BATCH, self.rows - BATCH * np.arange(steps))
        rows = sizes[np.arange(1, len(self.ends)) % steps]
        speeds = rows / np.diff(self.ends)
        return statistics.median(speeds.tolist()) * len(self.task.windows) / self.rows

    def report(self, version: str, scores: Callable[[NDArray[np.int64]], Tensor]) -> None:
        """Write the result.

        Args:
            version: Of the library.
            scores: Scores of all items, column j for item j + 1, behind some histories. [B, L] -> [B, items]
        """
        speed = self.windows_per_second()
        found = {
            "sequences_per_second": speed,
            "targets_per_second": speed * self.task.targets / len(self.task.windows),
            "seconds_to_first_step": self.ends[0] - self.task.started,
            "seconds": self.ends[-1] - self.ends[0],
            "epochs": len(self.ends) / -(-self.rows // BATCH),
            "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            * (1 if sys.platform == "darwin" else 1024),
            "version": version,
        }
        with torch.inference_mode():
            parts = [
                scores(self.task.histories[first : first + USERS_AT_ONCE]).float().numpy()
                for first in range(0, len(self.task.histories), USERS_AT_ONCE)
            ]
        np.save(self.task.result / "scores.npy", np.concatenate(parts))
        (self.task.result / "result.json").write_text(json.dumps(found))


def read_task() -> Task:
    """The task that the command line names; the seed is set."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--started", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options, more = parser.parse_known_args()
    # RecBole reads the command line as well.
    del sys.argv[1:]
    torch.manual_seed(options.seed)
    data = np.load(options.data)
    return Task(
        int(data["n_items"]),
        data["windows"],
        data["histories"],
        options.result,
        options.seconds,
        options.started,
        more,
    )


def padded_left(rows: list[NDArray[np.int64]], length: int, padding: int) -> Tensor:
    """Item numbers as most libraries read them. [B] rows -> [B, length]"""
    out = np.full((len(rows), length), padding)
    for i, row in enumerate(rows):
        if len(row):
            out[i, -len(row) :] = row
    return torch.from_numpy(out)
