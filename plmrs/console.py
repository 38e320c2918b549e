"""What the user sees: lines, tables and progress; Rich in a terminal, plain lines elsewhere.

What a command finds (`say`, tables) goes to standard output; how it is getting on (progress, warnings, errors) goes to
standard error. In a log file nothing is shortened and progress is a line now and then instead of a bar. Rich is
imported when a bar or a table is first drawn in a terminal.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, TextIO

from plmrs.errors import UserError
from plmrs.printable import printable
from plmrs.report import Advance, Table
from plmrs.tables import draw, json_of, plain_lines

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

SECONDS_A_LINE = 10.0
"""Plain progress tells how far it is this often at first …"""
SHARE_A_LINE, MOST_SECONDS_A_LINE = 0.01, 600.0
"""… and then after this share of the time that has passed, up to this long: a log of days has hundreds of lines."""
SHORT_BAR = 8
"""Columns of a bar and the spaces beside it, at least."""


class Console:
    """The `plmrs.report.Progress` of the command line.

    Args:
        silent: Tell nothing but errors.

    Attributes:
        as_json: Whether tables are shown as one JSON document; all else then goes to standard error.
    """

    def __init__(self, silent: bool = False) -> None:
        self.silent = silent
        self.as_json = False
        self._warned: set[str] = set()
        self._bars: Bars | None = None
        self._running = 0
        if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
            # A text or a bar that the terminal's encoding lacks is no reason to stop.
            sys.stdout.reconfigure(errors="replace")

    def say(self, line: str) -> None:
        """Tell one thing that was found or decided."""
        self._write(printable(line), sys.stderr if self.as_json else sys.stdout)

    def warn(self, line: str) -> None:
        """Tell one thing the user should look at; the same line is told once."""
        if line not in self._warned:
            self._warned.add(line)
            self._write(f"Warning: {printable(line)}", sys.stderr)

    def error(self, error: UserError) -> None:
        """Tell what went wrong, and what to do about it on a second line."""
        # Every process of a distributed run may fail; the ones that were started by the first say which they are.
        who = f" (process {os.environ.get('LOCAL_RANK')})" if self.silent else ""
        lines = [f"Error{who}: {error.message}", error.remedy]
        self._write("\n".join(line for line in lines if line), sys.stderr, even_if_silent=True)

    def show(self, tables: Sequence[Table]) -> None:
        """Print tables, an empty line before each, or as JSON."""
        if self.as_json:
            self._write(json_of(tables), sys.stdout)
            return
        for table in tables:
            if not self.silent and _is_terminal(sys.stdout):
                draw(table, sys.stdout)
            else:
                self._write("\n" + "\n".join(plain_lines(table)), sys.stdout)

    @contextmanager
    def track(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        """Follow a job of `total` units (`unit` is their plural name), of which `done` were finished before."""
        job = _Job(label, total, unit, done)
        if self.silent:
            yield job.advance
        elif _is_terminal(sys.stderr):
            yield from self._track_bar(job)
        else:
            yield from self._track_lines(job)

    def _track_lines(self, job: "_Job") -> Iterator[Advance]:
        told = job.started

        def advance(n: int = 1, note: str = "") -> None:
            nonlocal told
            job.advance(n, note)
            now = time.monotonic()
            wait = min(max(SECONDS_A_LINE, SHARE_A_LINE * (now - job.started)), MOST_SECONDS_A_LINE)
            if now - told >= wait and job.done < job.total:
                told = now
                self._write(job.midway(), sys.stderr)

        with self._told_at_end(job):
            yield advance

    def _track_bar(self, job: "_Job") -> Iterator[Advance]:
        # Jobs may be nested; Rich draws one live area at a time, so they share it.
        self._bars = self._bars or _new_bars()
        self._bars.start()
        self._running += 1
        bars = self._bars
        task = bars.add_task(job.label, total=job.total, completed=job.done, count=job.count(), told="")

        def advance(n: int = 1, note: str = "") -> None:
            job.advance(n, note)
            told, count = job.told(), job.count()
            # On a narrow terminal the loss and the metric of a training are worth more than the count.
            fits = len(job.label) + len(count) + len(told) + SHORT_BAR <= bars.console.width
            bars.update(task, completed=job.done, count=count if fits else "", told=told)

        with self._told_at_end(job):
            try:
                yield advance
            finally:
                bars.remove_task(task)
                self._running -= 1
                if self._running == 0:
                    bars.stop()
                    self._bars = None

    @contextmanager
    def _told_at_end(self, job: "_Job") -> Iterator[None]:
        try:
            yield
        finally:
            self._write(job.ended(), sys.stderr)

    def _write(self, text: str, stream: TextIO, even_if_silent: bool = False) -> None:
        if self.silent and not even_if_silent:
            return
        if self._bars is not None and _is_terminal(stream):
            self._bars.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)
            return
        stream.write(text + "\n")
        stream.flush()


class _Job:
    """How far a job is, and how fast."""

    def __init__(self, label: str, total: int, unit: str, done: int) -> None:
        self.label, self.total, self.unit, self.done, self.before = label, total, unit, done, done
        self.note = ""
        self.started = time.monotonic()

    def advance(self, n: int = 1, note: str = "") -> None:
        self.done += n
        self.note = note or self.note

    def rate(self) -> float:
        return (self.done - self.before) / max(time.monotonic() - self.started, 1e-9)

    def count(self) -> str:
        return f"{self.done:,}/{self.total:,}"

    def told(self) -> str:
        """Rate, time left and note: `405 items/s, 22 s left, loss 3.21`."""
        parts = []
        if self.done > self.before:
            left = max(self.total - self.done, 0) / self.rate()
            parts = [f"{_rate(self.rate())} {self.unit}/s", f"{_duration(left)} left"]
        return ", ".join([*parts, self.note] if self.note else parts)

    def midway(self) -> str:
        return f"{self.label}: {self.done:,} of {self.total:,} {self.unit}, {self.told()}".rstrip(", ")

    def ended(self) -> str:
        if self.done < self.total:
            return f"{self.label}: stopped at {self.done:,} of {self.total:,} {self.unit}"
        done = self.done - self.before
        count = f"{self.done:,} {self.unit}" if self.before == 0 else f"{done:,} more {self.unit}"
        rate = f", {_rate(self.rate())} {self.unit}/s" if done else ""
        note = f", {self.note}" if self.note else ""
        return f"{self.label}: {count} in {_duration(time.monotonic() - self.started)}{rate}{note}"


def _new_bars() -> "Bars":
    from rich.console import Console as Terminal
    from rich.progress import BarColumn, Progress, TextColumn

    label, count, told = (
        TextColumn(text, markup=False) for text in ("{task.description}", "{task.fields[count]}", "{task.fields[told]}")
    )
    # Rich would send what others print to the stream of the bar; a piped standard output must keep its lines.
    redirect = _is_terminal(sys.stdout)
    return Progress(label, BarColumn(), count, told, console=Terminal(file=sys.stderr), redirect_stdout=redirect)


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
