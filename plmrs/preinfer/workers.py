"""Units of work through a stage: in this process on one device, in a process a device on several.

The parent hands a worker a unit when it asks for one, over a pipe that only these two hold. So a fast device takes more
units, a worker that dies is noticed by its closed pipe, one whose parent dies ends with it, and no lock is shared that
a killed process could keep. A worker reads its next unit and writes its last one while it computes.
"""

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, cast

from plmrs.errors import UserError
from plmrs.preinfer.stage import Moves, Stage, Worker
from plmrs.report import Progress

log = logging.getLogger(__name__)

TRIES = 2
"""Workers that may fail at one unit before it is given up."""


@dataclass(frozen=True)
class Asks:
    """A worker can take another unit."""


@dataclass(frozen=True)
class Wrote:
    """A worker's unit is on disk."""

    unit: int


@dataclass(frozen=True)
class Moved:
    """A worker has computed some more texts and tokens of a unit."""

    unit: int
    texts: int
    tokens: int


@dataclass(frozen=True)
class Failed:
    """A worker has met an error and ends."""

    message: str
    remedy: str


KEPT = "Finished units are kept: run the same command again to go on."


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


@dataclass
class _Live:
    """A worker as the parent sees it: of the units it holds, the texts and tokens it has computed."""

    device: int
    process: BaseProcess
    held: dict[int, list[int]] = field(default_factory=dict)
    waits: bool = False


def run_workers(stage: Stage, devices: Sequence[int], units: Sequence[int], moves: Moves, progress: Progress) -> float:
    """Work through units in a spawned process a device; the seconds it took after the first one was ready.

    A worker that fails is told, its units go back, and the others finish them.

    Raises:
        UserError: every worker failed, or one unit failed several of them; what was finished stays.
    """
    context = multiprocessing.get_context("spawn")
    start: float | None = None
    queue, tries = deque(units), Counter[int]()
    first_failure: UserError | None = None
    live: dict[Connection, _Live] = {}
    try:
        for device in devices[: len(units)]:
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(stage, device, theirs), daemon=True)
            with _undisturbed():
                process.start()
            theirs.close()  # Held by the worker alone now, so its death closes the pipe.
            live[ours] = _Live(device, process)
        for connection in _ready(live):
            worker = live[connection]
            try:
                message = connection.recv()
            except (EOFError, ConnectionError):
                worker.process.join()
                message = _died(stage, worker) if worker.process.exitcode or worker.held else None
            match message:
                case Asks():
                    start = start or time.perf_counter()
                    worker.waits = True
                case Moved(unit, texts, tokens):
                    worker.held[unit][0] += texts
                    worker.held[unit][1] += tokens
                    moves(texts, tokens)
                case Wrote(unit):
                    del worker.held[unit]
                case Failed(text, remedy):
                    failure = UserError(f"The process on {stage.accelerator} {worker.device} failed: {text}", remedy)
                    first_failure = first_failure or failure
                    tries.update(worker.held.keys())
                    if any(tries[unit] >= TRIES for unit in worker.held):
                        raise failure
                    queue.extendleft(reversed(worker.held))
                    for texts, tokens in worker.held.values():
                        moves(-texts, -tokens)  # They are computed once more.
                    del live[connection]
                    worker.process.terminate()
                    worker.process.join()
                    if live:
                        progress.warn(f"{failure.message} Its units go to the others.")
                case None:
                    del live[connection]
            _hand_out(live, queue)
        if first_failure is not None and queue:
            raise first_failure
        return time.perf_counter() - (start or time.perf_counter())
    finally:
        for worker in live.values():
            worker.process.terminate()
        for connection, worker in live.items():
            worker.process.join()
            connection.close()


def _hand_out(live: dict[Connection, _Live], queue: "deque[int]") -> None:
    """Give waiting workers their next units; send them home once no unit can come back."""
    held = any(worker.held for worker in live.values())
    for connection, worker in live.items():
        if worker.waits and (queue or not held):
            unit = queue.popleft() if queue else None
            worker.waits = False
            if unit is not None:
                worker.held[unit] = [0, 0]
                held = True
            try:
                connection.send(unit)
            except (BrokenPipeError, ConnectionResetError):
                continue  # It has died since it asked; its closed pipe is met next.


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Start a process that heeds no Ctrl-C, which reaches the whole group: the parent ends its workers itself."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def serve(stage: Stage, device: int, connection: Connection) -> None:
    """A worker: take units from the parent until it has no more."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    sending = threading.Lock()  # reading, computing and writing each tell the parent something

    def send(message: Any) -> None:
        with sending:
            connection.send(message)

    def following() -> int | None:
        send(Asks())
        return cast("int | None", connection.recv())

    try:
        work_through(
            Worker(stage, device),
            following,
            lambda unit: send(Wrote(unit)),
            lambda unit, texts, tokens: send(Moved(unit, texts, tokens)),
        )
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # The parent is gone.
    except UserError as error:
        send(Failed(error.message, error.remedy))
    except Exception as error:
        log.exception("The worker on %s %d failed.", stage.accelerator, device)
        send(Failed(f"{type(error).__name__}: {error}", KEPT))


def _end_with(parent: BaseProcess) -> None:
    """End at once when the parent does: another command may begin where it stood."""
    parent.join()
    os._exit(1)


def _ready(live: dict[Connection, _Live]) -> Iterator[Connection]:
    """The connections with something to read, as long as there are any."""
    while live:
        yield from (connection for connection in cast(list[Connection], wait(list(live))) if connection in live)


def _died(stage: Stage, worker: _Live) -> Failed:
    code = worker.process.exitcode or 0
    if code >= 0:
        how = f"it ended with exit code {code}."
    elif -code == signal.SIGKILL:
        how = "it was killed (SIGKILL), as systems do when memory runs out."
    else:
        how = f"it died of {signal.Signals(-code).name}."
    return Failed(how, KEPT)
