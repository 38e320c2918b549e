"""How library code tells what it does and found, without printing: a progress protocol and tables as data."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from plmrs.printable import printable


class Advance(Protocol):
    """Moves one tracked job on by `n` units; `note` is a short text shown beside it, such as `loss 3.21`."""

    def __call__(self, n: int = 1, note: str = "") -> None:
        """Move it on."""


class Progress(Protocol):
    """Where a verb reports to. The command line passes its console, Python callers pass `Silent()`."""

    def say(self, line: str) -> None:
        """Tell one thing that was found or decided."""

    def warn(self, line: str) -> None:
        """Tell one thing the user should look at, once."""

    def track(self, label: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[Advance]:
        """Follow a job of `total` units (`unit` is their plural name), of which `done` were finished before."""


class Silent:
    """A progress that tells nothing."""

    def say(self, line: str) -> None:
        """Tell nothing."""

    def warn(self, line: str) -> None:
        """Tell nothing."""

    @contextmanager
    def track(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        """Follow nothing."""

        def advance(n: int = 1, note: str = "") -> None:
            return None

        yield advance


Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """A table to show: `rows` in reading order, a cell a column; floats are shown with 4 decimals, ints with commas.

    `notes` are lines below the table, such as the protocol a number was measured under. `bold` are the places, (row,
    column) from 0, that stand out.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default=())
    bold: Collection[tuple[int, int]] = field(default=())


def counted(n: int, unit: str) -> str:
    """A number of things, of which `unit` names one: `1 row`, `2,400 rows`."""
    return f"{n:,} {unit}{'' if n == 1 else 's'}"


def shown(cell: Cell) -> str:
    """A cell as text: floats with 4 decimals, integers with commas, `-` for nothing."""
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.4f}"
    return f"{cell:,}" if isinstance(cell, int) else printable(cell)
