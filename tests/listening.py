"""A progress that keeps what it is told."""

from collections.abc import Iterator
from contextlib import contextmanager

from plmrs.report import Advance


class Listening:
    """It fails the test where a track ends before its total, but for an error.

    Attributes:
        lines: What was said; warnings begin with `! `.
        tracked: Label, total and what was done before of each track.
        advanced: How far the last track has come.
        moves: Each step of it.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tracked: list[tuple[str, int, int]] = []
        self.advanced = 0
        self.moves: list[int] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def warn(self, line: str) -> None:
        self.lines.append(f"! {line}")

    @contextmanager
    def track(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        self.tracked.append((label, total, done))
        self.advanced = done

        def advance(n: int = 1, note: str = "") -> None:
            self.advanced += n
            self.moves.append(n)

        yield advance
        assert self.advanced == total
