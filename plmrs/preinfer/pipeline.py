"""Units of work through one worker, which reads its next unit and writes its last one while it computes."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, cast

from plmrs.preinfer.stage import Moves, Stage, Worker
from plmrs.report import Progress


def run_here(stage: Stage, devices: Sequence[int], units: Sequence[int], moves: Moves, progress: Progress) -> float:
    """Work through units in this process on the one device; the seconds it took after the blocks were loaded.

    Raises:
        UserError: the PLM's files are damaged, its states do not fit the cache, or memory or disk is full.
    """
    worker, queue = Worker(stage, devices[0]), iter(units)
    start = time.perf_counter()
    work_through(worker, lambda: next(queue, None), lambda unit: None, lambda unit, *computed: moves(*computed))
    return time.perf_counter() - start


def work_through(
    worker: Worker,
    following: Callable[[], int | None],
    wrote: Callable[[int], None],
    moved: Callable[[int, int, int], None],
) -> None:
    """Compute units until there is none, reading ahead and writing behind.

    Args:
        worker: What computes.
        following: Gives the next unit, None after the last; called from another thread.
        wrote: Called with a unit once it is on disk.
        moved: Called with the unit, the texts and the tokens of every batch.
    """

    def read() -> tuple[int, Any] | None:
        unit = following()
        return None if unit is None else (unit, worker.read(unit))

    def write(unit: int, computed: Any) -> None:
        worker.write(unit, computed)
        wrote(unit)

    reader, writer = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
    try:
        ahead, behind = reader.submit(read), cast("Future[None] | None", None)
        while (found := ahead.result()) is not None:
            unit, inputs = found
            ahead = reader.submit(read)
            computed = worker.compute(unit, inputs, partial(moved, unit))
            if behind is not None:
                behind.result()  # Not more than one unit waits for the disk.
            behind = writer.submit(write, unit, computed)
        if behind is not None:
            behind.result()
    finally:
        # An error is told at once: the reader may be waiting for a unit that never comes. The writer ends soon, and
        # must have ended before the cache is let go.
        reader.shutdown(wait=False, cancel_futures=True)
        writer.shutdown(cancel_futures=True)
        # A future holds its error, the error this frame, and this frame the future: none would be freed at once.
        del ahead, behind
