"""A stage shared among processes, one a device.

The parent hands a worker a unit when it asks for one, over a pipe that only these two hold. So a fast device takes more
units, a worker that dies is noticed by its closed pipe, one whose parent dies ends with it, and no lock is shared that
a killed process could keep.
"""

import multiprocessing
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import cast

from plmrs.errors import UserError
from plmrs.preinfer.serve import KEPT, Asks, Failed, Moved, Wrote, serve
from plmrs.preinfer.stage import Moves, Stage
from plmrs.processes import how_it_died, undisturbed
from plmrs.report import Progress

TRIES = 2
"""Workers that may fail at one unit before it is given up."""


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
            with undisturbed():
                process.start()
            theirs.close()  # Held by the worker alone now, so its death closes the pipe.
            live[ours] = _Live(device, process)
        for connection in _ready(live):
            worker = live[connection]
            try:
                message = connection.recv()
            except (EOFError, ConnectionError):
                worker.process.join()
                died = worker.process.exitcode or worker.held
                message = Failed(how_it_died(worker.process), KEPT) if died else None
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


def _ready(live: dict[Connection, _Live]) -> Iterator[Connection]:
    """The connections with something to read, as long as there are any."""
    while live:
        yield from (connection for connection in cast(list[Connection], wait(list(live))) if connection in live)
