"""The rows of tables in another order."""

from collections.abc import Sequence
from dataclasses import replace

from plmrs.errors import UserError
from plmrs.origins import did_you_mean
from plmrs.report import Cell, Table


def sorted_tables(tables: Sequence[Table], column: str) -> list[Table]:
    """Every table that has the column with its rows sorted by it; the others as they are.

    Args:
        tables: Some tables.
        column: The name of a column; capitals do not matter.

    Raises:
        UserError: no table has such a column.
    """
    wanted = column.strip().lower()
    names = [name for table in tables for name in table.columns if name]
    if wanted not in {name.lower() for name in names}:
        known = list(dict.fromkeys(names))
        hint = did_you_mean(column, known)
        raise UserError(
            f"--sort: there is no column {column!r}.", f"{hint} There are: {', '.join(known) or 'none'}.".strip()
        )
    return [_sorted(table, wanted) for table in tables]


def _sorted(table: Table, wanted: str) -> Table:
    names = [name.lower() for name in table.columns]
    if wanted not in names:
        return table
    column = names.index(wanted)
    return replace(table, rows=sorted(table.rows, key=lambda row: _key(row[column])))


def _key(cell: Cell) -> tuple[int, float, str]:
    """Numbers, the largest first; then text from A to Z; then what is missing."""
    if cell is None or cell != cell:  # NaN alone differs from itself.
        return 2, 0.0, ""
    return (0, -float(cell), "") if isinstance(cell, (int, float)) else (1, 0.0, cell.lower())
