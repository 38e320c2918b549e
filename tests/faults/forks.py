"""Commands of plmrs in processes forked from one that has imported everything.

Starting a command anew takes seconds, for imports alone, in which there is nothing to disturb. A forked process begins
with its work at once. Fork is safe here because the parent only imports: it never computes with torch, Arrow or zarr,
whose threads a forked process would lack, and so every data set and PLM is made in a forked process as well.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

MODULES = (
    "plmrs.prepare.command", "plmrs.preinfer.command", "plmrs.train.command", "plmrs.evaluate.command",
    "plmrs.recommend.command", "plmrs.inspect.command", "transformers.models.bert.modeling_bert", "zarr", "tokenizers",
    "torch.utils.tensorboard", "scipy.sparse", "pyarrow.parquet", "pyarrow.csv",
)  # fmt: skip
LONGEST = 120.0
"""Seconds after which a command counts as one that hangs."""


def warm() -> None:
    """Import what the commands need."""
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    startup = import_module("plmrs.train.startup")
    startup.defer_torchmetrics()
    for name in MODULES:
        import_module(name)
    with contextlib.suppress(ModuleNotFoundError):  # Newer versions of Typer have it, and import it late.
        import_module("typer._adapters")


@dataclass
class Command:
    """A command at work.

    Attributes:
        pid: Its process.
        output: The file that has what it says.
        code: Its exit code once it has ended, negative for a signal.
    """

    pid: int
    output: Path
    code: int | None = None

    def ended(self) -> bool:
        """Whether it has ended by now."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def send(self, number: int) -> None:
        """Send it a signal, and to what it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def wait(self, longest: float = LONGEST) -> int | None:
        """Its exit code; None when it had to be killed, because it took too long."""
        limit = time.monotonic() + longest
        while not self.ended():
            if time.monotonic() > limit:
                self.send(signal.SIGKILL)
                os.waitpid(self.pid, 0)
                self.code = -signal.SIGKILL
                return None
            time.sleep(0.001)
        return self.code

    @property
    def said(self) -> str:
        """What it has said so far."""
        return self.output.read_text(encoding="utf-8", errors="replace")


def start(work: Callable[[], int], folder: Path, output: Path) -> Command:
    """Run a function in a forked process, in a folder and with its output in a file; it gives the exit code."""
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    pid = os.fork()
    if pid:
        os.close(file)
        with contextlib.suppress(OSError):  # It has done so itself, or has ended.
            os.setpgid(pid, pid)
        return Command(pid, output)
    code = 70
    try:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # What runs in the background ignores it.
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.chdir(folder)
        code = work()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def plmrs(line: str, folder: Path, output: Path) -> Command:
    """Run a command line of plmrs in a folder."""
    from plmrs.cli import main

    return start(lambda: main(line.split()), folder, output)


def finished(line: str, folder: Path, output: Path) -> Command:
    """Run a command line of plmrs, and wait until it has ended well.

    Raises:
        RuntimeError: it has not.
    """
    command = plmrs(line, folder, output)
    if command.wait() != 0:
        raise RuntimeError(f"plmrs {line}: {command.code}\n{command.said}")
    return command


def states(folder: Path) -> Iterator[tuple[tuple[str, int, int], ...]]:
    """What lies in a folder, again and again: name, size and time of everything but locks."""
    while True:
        yield tuple(sorted(_entries(str(folder))))


def _entries(folder: str) -> Iterator[tuple[str, int, int]]:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".lock"):
                continue
            with contextlib.suppress(FileNotFoundError):
                if entry.is_dir(follow_symlinks=False):
                    yield entry.path, -1, 0
                    yield from _entries(entry.path)
                else:
                    about = entry.stat()
                    yield entry.path, about.st_size, about.st_mtime_ns
