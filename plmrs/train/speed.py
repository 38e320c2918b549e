"""How fast training is: medians over steps."""

import time
from collections import deque

import numpy as np
import psutil
import torch
from torch import Tensor

STEPS = 100_000
"""Steps that medians are taken of: a number a step for ever would fill the memory of a training of weeks."""


class Speed:
    """Windows and targets a second.

    A step lasts from the end of the one before in its epoch, so that making its batch counts; the first step of an
    epoch from the epoch's beginning, but for this process's first, which pays for warming up.

    Attributes:
        windows: Windows a second of each of the last `STEPS` steps that were read.
        targets: Targets a second likewise.
    """

    def __init__(self) -> None:
        self.windows: deque[float] = deque(maxlen=STEPS)
        self.targets: deque[float] = deque(maxlen=STEPS)
        self._last: float | torch.cuda.Event | None = None
        self._unread: list[tuple[float | torch.cuda.Event, int, Tensor]] = []
        self._warm = False

    def begin(self, device: torch.device) -> None:
        """An epoch begins."""
        self._last, self._unread = _now(device) if self._warm else None, []
        self._warm = True

    def step(self, windows: Tensor) -> None:
        """A step over these windows has ended. [B, L + 1]"""
        self._unread.append((_now(windows.device), len(windows), (windows[:, 1:] > 0).sum()))

    def read(self) -> None:
        """Take the steps since the last reading into account; waits for the device."""
        if not self._unread:
            return
        targets = torch.stack([count for _, _, count in self._unread]).tolist()
        for (end, windows, _), count in zip(self._unread, targets, strict=True):
            if self._last is not None:
                seconds = _seconds(self._last, end)
                self.windows.append(windows / seconds)
                self.targets.append(count / seconds)
            self._last = end
        self._unread = []

    def medians(self) -> tuple[float, float]:
        """Windows and targets a second; 0 before a second step."""
        if not self.windows:
            return 0.0, 0.0
        return float(np.median(self.windows)), float(np.median(self.targets))


def _now(device: torch.device) -> "float | torch.cuda.Event":
    # The host runs ahead of a GPU, so the GPU itself is to note when it gets here.
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event


def _seconds(start: "float | torch.cuda.Event", end: "float | torch.cuda.Event") -> float:
    if isinstance(start, torch.cuda.Event):
        assert isinstance(end, torch.cuda.Event)
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3
    assert isinstance(end, float)
    return max(end - start, 1e-9)


def process_seconds() -> float:
    """Seconds since this process was started, its imports included."""
    return float(time.time() - psutil.Process().create_time())
