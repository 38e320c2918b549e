"""Units of work through the PLM: in this process on one device, in a process a device on several.

The parent hands a worker its next unit when it asks for one, over a pipe that only these two hold. So a fast device
takes more units, a worker that dies is noticed by its closed pipe, one whose parent dies ends by itself, and no lock is
shared that a killed process could keep.
"""

import logging
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Literal, cast

from plmrs.cache.store import Cache
from plmrs.data.dataset import Dataset
from plmrs.data.tokens import reopen_tokens
from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm, Precision

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What every worker of a job does alike.

    Attributes:
        cache: Where units are written.
        plm: What runs.
        dataset: Whose tokens each process maps into its memory.
        precision: Of its weights and states.
        batch_size: Texts a batch; None for a budget of tokens.
        accelerator: Kind of device.
        threads: Threads of a process on the CPU; None leaves PyTorch's choice.
    """

    cache: Cache
    plm: Plm
    dataset: Dataset
    precision: Precision
    batch_size: int | None
    accelerator: Literal["cpu", "gpu"]
    threads: int | None = None


@dataclass(frozen=True)
class Asks:
    """A worker's PLM is loaded, or its unit is written: it asks for the next."""


@dataclass(frozen=True)
class Moved:
    """A worker has settled some more items and tokens."""

    items: int
    tokens: int


@dataclass(frozen=True)
class Failed:
    """A worker has met an error and ends."""

    message: str
    remedy: str


Moves = Callable[[int, int], None]
"""Called with the items and tokens of every batch."""

KEPT = "Finished units are kept: run the same command again to go on."


def run_here(job: Job, devices: Sequence[int], units: Sequence[int], moves: Moves) -> float:
    """Work through units in this process on the one device; the seconds it took after the PLM was loaded.

    Raises:
        UserError: the PLM's files are damaged, its states do not fit the cache, the tokens are gone, or memory or disk
            is full.
    """
    work = _worker(job, devices[0])
    start = time.perf_counter()
    for unit in units:
        work(unit, moves)
    return time.perf_counter() - start


def run_workers(job: Job, devices: Sequence[int], units: Sequence[int], moves: Moves) -> float:
    """Work through units in a spawned process a device; the seconds it took after the first PLM was loaded.

    Raises:
        UserError: a worker met an error or died; what the others finished before stays, what they were at is dropped.
    """
    context = multiprocessing.get_context("spawn")
    start = None
    queue = iter(units)
    live: dict[Connection, tuple[int, BaseProcess]] = {}
    try:
        for device in devices[: len(units)]:
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(job, device, theirs), daemon=True)
            process.start()
            theirs.close()  # Held by the worker alone now, so its death closes the pipe.
            live[ours] = (device, process)
        for connection in _ready(live):
            device, worker = live[connection]
            try:
                message = connection.recv()
            except (EOFError, ConnectionError):
                worker.join()
                if worker.exitcode:
                    raise _died(job, device, worker.exitcode) from None
                del live[connection]
                continue
            match message:
                case Asks():
                    start = start or time.perf_counter()
                    _send(connection, next(queue, None))
                case Moved(items, tokens):
                    moves(items, tokens)
                case Failed(text, remedy):
                    raise UserError(f"The process on {job.accelerator} {device} failed: {text}", remedy)
        return time.perf_counter() - (start or time.perf_counter())
    finally:
        for _, worker in live.values():
            worker.terminate()
        for connection, (_, worker) in live.items():
            worker.join()
            connection.close()


def serve(job: Job, device: int, connection: Connection) -> None:
    """A worker: take units from the parent until it has no more."""
    # Ctrl-C reaches the whole group; the parent ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        work = _worker(job, device)
        connection.send(Asks())
        while (unit := connection.recv()) is not None:
            work(unit, lambda items, tokens: connection.send(Moved(items, tokens)))
            connection.send(Asks())
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # The parent is gone.
    except UserError as error:
        connection.send(Failed(error.message, error.remedy))
    except Exception as error:
        log.exception("The worker on %s %d failed.", job.accelerator, device)
        connection.send(Failed(f"{type(error).__name__}: {error}", KEPT))


def _worker(job: Job, device: int) -> Callable[[int, Moves], None]:
    import torch

    from plmrs.plm.encode import Encoder

    if job.threads is not None:
        torch.set_num_threads(job.threads)
    place = torch.device("cpu") if job.accelerator == "cpu" else torch.device("cuda", device)
    length = int(job.cache.manifest["tokenized_len"])
    tokens = reopen_tokens(job.dataset, job.plm.folder_name, job.plm.tokenizer_identity, length)
    encoder = Encoder(job.plm, job.precision, place, job.batch_size)

    def work(unit: int, moves: Moves) -> None:
        encoded = encoder.encode(tokens.take(job.cache.rows(unit)), moves)
        job.cache.write_unit(unit, encoded.pooled, encoded.n_unique, encoded.n_tokens)

    return work


def _ready(live: dict[Connection, tuple[int, BaseProcess]]) -> Iterator[Connection]:
    """The connections with something to read, as long as there are any."""
    while live:
        yield from cast(list[Connection], wait(list(live)))


def _send(connection: Connection, unit: int | None) -> None:
    try:
        connection.send(unit)
    except (BrokenPipeError, ConnectionResetError):
        return  # It has died since it asked; its closed pipe is met next.


def _died(job: Job, device: int, exitcode: int) -> UserError:
    if exitcode >= 0:
        how = f"ended with exit code {exitcode}"
    elif -exitcode == signal.SIGKILL:
        how = "was killed (SIGKILL), as systems do when memory runs out"
    else:
        how = f"died of {signal.Signals(-exitcode).name}"
    return UserError(f"The process on {job.accelerator} {device} {how}.", KEPT)
