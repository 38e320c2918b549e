"""Work shared among spawned processes, one a device.

What they work on lies in one file that all of them map, so that item vectors take their memory once. What they send is
read in turn, so that shares which are dealt out like cards come back in order, and none runs far ahead of the others:
its pipe is full before that.
"""

import mmap
import multiprocessing
import pickle
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

import torch

from plmrs.errors import UserError

ALIGNED = 64
"""Arrays begin at multiples of this, as PyTorch's own do."""

Task = TypeVar("Task")
Send = Callable[[Any], None]
Work = Callable[[Task, torch.device, int, int, Send], None]
"""One process's share of a task: the task, a device, the number of the process, that of all, and how to send."""


@dataclass(frozen=True)
class _Ended:
    """A process has sent all, or what went wrong."""

    failure: str | None = None


def in_turn(work: Work[Task], task: Task, devices: Sequence[torch.device]) -> Iterator[tuple[int, Any]]:
    """What processes send, with their numbers: the first of each, the second of each, until all have ended.

    Args:
        work: Done in a process a device; a function of a module.
        task: What each is given, a copy of it; its arrays and tensors are shared.
        devices: Where; a device may come more than once.

    Raises:
        UserError: a process failed.
    """
    n = len(devices)
    threads = max(1, torch.get_num_threads() // n)
    context = multiprocessing.get_context("spawn")
    started: dict[int, tuple[Connection, BaseProcess]] = {}
    with tempfile.TemporaryDirectory(prefix="plmrs-") as folder:
        path = Path(folder) / "task"
        bounds = _write(task, path)
        try:
            for number, device in enumerate(devices):
                ours, theirs = context.Pipe(duplex=False)
                words = (work, path, bounds, str(device), threads, number, n, theirs)
                process = context.Process(target=_serve, args=words, daemon=True)
                with undisturbed():
                    process.start()
                theirs.close()  # Held by the process alone now, so its death closes the pipe.
                started[number] = ours, process
            live = list(started)
            while live:
                for number in list(live):
                    message = _received(*started[number])
                    if not isinstance(message, _Ended):
                        yield number, message
                    elif message.failure is None:
                        live.remove(number)
                    else:
                        raise UserError(f"The process on {devices[number]} failed: {message.failure}")
        finally:
            for _, each in started.values():
                each.terminate()
            for connection, each in started.values():
                each.join()
                connection.close()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Start a process that heeds no Ctrl-C, which reaches the whole group: the parent ends it itself."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def how_it_died(process: BaseProcess) -> str:
    """What ended a process that has not said so itself, as a part of a sentence."""
    code = process.exitcode or 0
    if code >= 0:
        return f"it ended with exit code {code}."
    if -code == signal.SIGKILL:
        return "it was killed (SIGKILL), as systems do when memory runs out."
    return f"it died of {signal.Signals(-code).name}."


def _received(connection: Connection, process: BaseProcess) -> Any:
    """A process's next message."""
    try:
        return connection.recv()
    except (EOFError, ConnectionError):
        process.join()
        return _Ended(f"{how_it_died(process)} Name fewer --devices.")


def _serve(
    work: Work[Task],
    path: Path,
    bounds: list[int],
    device: str,
    threads: int,
    process: int,
    processes: int,
    connection: Connection,
) -> None:
    """What a process does."""
    torch.set_num_threads(threads)
    try:
        work(_read(path, bounds), torch.device(device), process, processes, connection.send)
        connection.send(_Ended())
    except (BrokenPipeError, ConnectionError):
        return  # The parent is gone.
    except Exception as error:
        connection.send(_Ended(f"{type(error).__name__}: {error}"))


class _Pickler(pickle.Pickler):
    """Treats tensors as arrays, which can lie outside of a pickle; they are on the CPU where they are read again."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is torch.Tensor:
            return torch.from_numpy, (value.detach().cpu().numpy(),)
        return NotImplemented


def _write(task: object, path: Path) -> list[int]:
    """Write a task to a file, what holds its arrays first, then one after the other; where each begins and ends."""
    arrays: list[pickle.PickleBuffer] = []
    bounds: list[int] = []
    with path.open("wb") as file:
        _Pickler(file, protocol=5, buffer_callback=arrays.append).dump(task)
        bounds += [0, file.tell()]
        for array in arrays:
            part = array.raw()
            file.write(b"\0" * (-file.tell() % ALIGNED))
            bounds += [file.tell(), file.tell() + len(part)]
            file.write(part)
    return bounds


def _read(path: Path, bounds: list[int]) -> Any:
    """The task in a file, its arrays mapped and not read."""
    with path.open("rb") as file:
        # Written to it is not, but PyTorch warns of arrays that cannot be.
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    frame, *arrays = (whole[start:stop] for start, stop in zip(bounds[::2], bounds[1::2], strict=True))
    return pickle.loads(frame, buffers=arrays)
