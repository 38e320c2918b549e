"""A table as a person or a program reads it: aligned lines, a drawing in a terminal, JSON."""

import json
import math
from collections.abc import Sequence
from typing import Any, TextIO

from plmrs.printable import printable
from plmrs.report import Table, shown

GAP = 2
"""Spaces between two columns of a table."""
FEW_NOTES = 2
"""So many notes stand right below their table; more, as a protocol is, would look like rows of it."""


def plain_lines(table: Table) -> list[str]:
    """A table as aligned lines of its full width."""
    from rich.cells import cell_len  # the columns of a terminal that a text takes: two a Chinese letter

    cells = [list(map(printable, table.columns)), *([shown(cell) for cell in row] for row in table.rows)]
    right = [_is_numeric(table, column) for column in range(len(table.columns))]
    widths = [max(cell_len(row[column]) for row in cells) for column in range(len(table.columns))]
    lines = [
        "  ".join(
            cell.rjust(width) if numeric else cell + " " * (width - cell_len(cell))
            for cell, width, numeric in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]
    rule = "  ".join("-" * width for width in widths)
    notes = [*([""] if len(table.notes) > FEW_NOTES else []), *map(printable, table.notes)]
    return [printable(table.title), *(() if not any(table.columns) else (lines[0], rule)), *lines[1:], *notes]


def json_of(tables: Sequence[Table]) -> str:
    """Tables as one JSON document, `{"tables": [{"title", "columns", "rows", "notes"}]}`, each cell as it is."""
    return json.dumps({"tables": [_as_fields(table) for table in tables]}, ensure_ascii=False, indent=1)


def _as_fields(table: Table) -> dict[str, Any]:
    # JSON has no NaN and no infinity.
    rows = [
        [None if isinstance(cell, float) and not math.isfinite(cell) else cell for cell in row] for row in table.rows
    ]
    return {"title": table.title, "columns": list(table.columns), "rows": rows, "notes": list(table.notes)}


def _is_numeric(table: Table, column: int) -> bool:
    cells = [row[column] for row in table.rows if row[column] is not None]
    return bool(cells) and all(isinstance(cell, (int, float)) for cell in cells)


def draw(table: Table, stream: TextIO) -> None:
    """Draw a table in the terminal that a stream leads to, an empty line before it."""
    from rich import box
    from rich.console import Console as Terminal
    from rich.table import Table as Drawn
    from rich.text import Text

    terminal = Terminal(file=stream, highlight=False)
    drawn = Drawn(
        box=box.SIMPLE_HEAD, show_edge=False, show_header=any(table.columns), pad_edge=False, padding=(0, 1, 0, 0)
    )
    widths = fitted(
        [[printable(name) for name in table.columns], *([shown(cell) for cell in row] for row in table.rows)],
        terminal.width,
    )
    for column, (name, width) in enumerate(zip(table.columns, widths, strict=True)):
        justify: Any = "right" if _is_numeric(table, column) else "left"
        drawn.add_column(Text(printable(name)), justify=justify, overflow="fold", width=width)
    for number, row in enumerate(table.rows):
        styles = ("bold" if (number, column) in table.bold else "" for column in range(len(row)))
        drawn.add_row(*(Text(shown(cell), style=style) for cell, style in zip(row, styles, strict=True)))
    terminal.print()
    terminal.print(Text(printable(table.title), style="bold"))
    if table.columns:
        terminal.print(drawn)
    if len(table.notes) > FEW_NOTES:
        terminal.print()
    for note in table.notes:
        terminal.print(Text(printable(note), style="dim"))


def fitted(rows: Sequence[Sequence[str]], most: int) -> list[int]:
    """Widths of columns that fit a line of `most` columns of a terminal, two between each.

    The widest is made narrower first. No word is broken before all that can be broken between words are, but for words
    of more than a third of the line.
    """
    from rich.cells import cell_len

    columns = list(zip(*rows, strict=True))
    widths = [max(map(cell_len, column)) for column in columns]
    longest = [max((cell_len(word) for cell in column for word in cell.split()), default=1) for column in columns]
    words = [min(length, most // 3) for length in longest]
    room = most - GAP * (len(columns) - 1)
    while (over := sum(widths) - room) > 0:
        candidates = [n for n, width in enumerate(widths) if width > words[n]] or range(len(widths))
        widest = max(candidates, key=widths.__getitem__)
        if widths[widest] <= 1:
            break
        # Down to the next one at once, so that a wide cell does not cost a step a character.
        floor = max(words[widest] if widths[widest] > words[widest] else 1, widths[widest] - over)
        below = max((widths[n] for n in candidates if widths[n] < widths[widest]), default=floor)
        widths[widest] = max(floor, min(below, widths[widest] - 1))
    return widths
