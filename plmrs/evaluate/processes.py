"""Ranking shared among spawned processes, one a device.

What they rank by lies in one file that all of them map, so that item vectors take their memory once.
"""

import mmap
import multiprocessing
import pickle
import signal
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
import torch

from plmrs.errors import UserError
from plmrs.evaluate.rank import Ranked, Task, rank
from plmrs.report import Advance

ALIGNED = 64
"""Arrays begin at multiples of this, as PyTorch's own do."""


def rank_in_processes(task: Task, devices: Sequence[torch.device], advance: Advance) -> dict[str, Ranked]:
    """What `rank` gives, by a process a device.

    Raises:
        UserError: a process failed.
    """
    n = len(devices)
    task = replace(task, memory=task.memory // n)
    threads = max(1, torch.get_num_threads() // n)
    context = multiprocessing.get_context("spawn")
    started: dict[Connection, tuple[int, Any]] = {}
    found: dict[int, dict[str, Ranked]] = {}
    with tempfile.TemporaryDirectory(prefix="plmrs-") as folder:
        path = Path(folder) / "task"
        bounds = _write(task, path)
        try:
            for number, device in enumerate(devices):
                ours, theirs = context.Pipe(duplex=False)
                words = (path, bounds, str(device), threads, number, n, theirs)
                process = context.Process(target=_serve, args=words, daemon=True)
                # It heeds no Ctrl-C, which reaches the whole group: the parent ends it itself.
                before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
                try:
                    process.start()
                finally:
                    signal.pthread_sigmask(signal.SIG_SETMASK, before)
                theirs.close()  # Held by the process alone now, so its death closes the pipe.
                started[ours] = number, process
            while len(found) < n:
                for connection in wait([each for each, (number, _) in started.items() if number not in found]):
                    number, process = started[connection]  # type: ignore[index]
                    match _received(connection, process):  # type: ignore[arg-type]
                        case int(users):
                            advance(users)
                        case str(failure):
                            raise UserError(f"The ranking process on {devices[number]} failed: {failure}")
                        case result:
                            found[number] = result
        finally:
            for connection, (_, process) in started.items():
                process.terminate()
                process.join()
                connection.close()
    return {
        name: Ranked(
            np.concatenate([found[number][name].ranks for number in range(n)]),
            np.sum([found[number][name].shown for number in range(n)], axis=0),
        )
        for name in task.methods
    }


def _received(connection: Connection, process: Any) -> Any:
    """A process's next message: users it has ranked, its result, or a failure as text."""
    try:
        return connection.recv()
    except (EOFError, ConnectionError):
        process.join()
        if process.exitcode == -signal.SIGKILL:
            return "it was killed, as systems do when memory runs out. Name fewer --devices."
        return f"it ended with exit code {process.exitcode}."


def _serve(
    path: Path, bounds: list[int], device: str, threads: int, process: int, processes: int, connection: Connection
) -> None:
    """A process's work: rank its share, and tell how far it is."""
    torch.set_num_threads(threads)
    try:
        task = _read(path, bounds)
        connection.send(rank(task, torch.device(device), lambda n=1, note="": connection.send(n), process, processes))
    except (BrokenPipeError, ConnectionError):
        return  # The parent is gone.
    except Exception as error:
        connection.send(f"{type(error).__name__}: {error}")


def _write(task: Task, path: Path) -> list[int]:
    """Write a task to a file, the arrays behind one another, what holds them last; where each begins and ends."""
    arrays: list[pickle.PickleBuffer] = []
    frame = pickle.dumps(task, protocol=5, buffer_callback=arrays.append)
    parts: list[memoryview | bytes] = [*(array.raw() for array in arrays), frame]
    bounds: list[int] = []
    with path.open("wb") as file:
        for part in parts:
            file.write(b"\0" * (-file.tell() % ALIGNED))
            bounds += [file.tell(), file.tell() + len(part)]
            file.write(part)
    return bounds


def _read(path: Path, bounds: list[int]) -> Task:
    """The task in a file, its arrays mapped and not read."""
    with path.open("rb") as file:
        # Written to it is not, but PyTorch warns of arrays that cannot be.
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    parts = [whole[start:stop] for start, stop in zip(bounds[::2], bounds[1::2], strict=True)]
    task: Task = pickle.loads(parts[-1], buffers=parts[:-1])
    return task
