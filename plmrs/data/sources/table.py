"""Any two tables: one of items with their text, one of who took what."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from plmrs.config import RawOptions
from plmrs.data.sources.files import REPEATING, SEPARATORS, column_names, kind_of, read_columns
from plmrs.data.sources.source import Source, SourceFile, Tally, encode, first_texts, tidy
from plmrs.errors import UserError

ITEM_GUESSES = ("item_id", "itemid")
USER_GUESSES = ("user_id", "userid")
TEXT_GUESSES = ("text", "title", "name", "description")
TIME_GUESSES = ("timestamp", "time")

Numbers = NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True)
class _Columns:
    """The columns found in the two tables."""

    item: str
    texts: tuple[str, ...]
    category: str | None
    taken: str
    user: str
    time: str | None


def read(items: Path, interactions: Path, options: RawOptions) -> Source:
    """Read a table of items and a table of interactions.

    Args:
        items: The items' file.
        interactions: The interactions' file.
        options: The names of the columns; those left out are guessed as their help says.

    Raises:
        UserError: a file is missing, empty, damaged or not UTF-8; a column is missing; an id is a fraction; a time is
            missing or no time.
    """
    columns = _find(items, interactions, options)
    catalogue, nameless, repeated = _items(items, columns)
    taken, without_id, unit = _interactions(interactions, columns)
    dropped = (
        Tally("items", nameless, "they have no id"),
        Tally("items", repeated, "their id stands in an earlier row, whose text is kept"),
        Tally("interactions", without_id, "they have no user id or no item id"),
    )
    return Source(
        catalogue,
        taken,
        unit,
        files=(SourceFile.of(items), SourceFile.of(interactions)),
        read=(
            Tally("items", catalogue.num_rows + nameless + repeated, items.name),
            Tally("interactions", taken.num_rows + without_id, interactions.name),
        ),
        dropped=dropped,
        rules=(
            "Ids are text, as they stand in the file.",
            "Of several items with one id the first row is kept.",
            "White space in texts becomes single spaces; several text columns are joined by a space.",
            "Tab-separated files have no quoting: a quote is a character like any other.",
        ),
        options={"columns": {**vars(columns), "texts": list(columns.texts)}},
    )


def _find(items: Path, interactions: Path, options: RawOptions) -> _Columns:
    """Which columns to read of the two tables."""
    names = column_names(items)
    texts = options.text_columns or (None,)
    item = _column(items, names, options.item_column, ITEM_GUESSES, "item ids", "--item-column")
    found = tuple(_column(items, names, text, TEXT_GUESSES, "texts", "--text-columns") for text in texts)
    category = options.category_column or ("category" if "category" in names else None)
    if category is not None:
        category = _column(items, names, category, (), "categories", "--category-column")

    names = column_names(interactions)
    taken = _column(interactions, names, options.item_column, ITEM_GUESSES, "item ids", "--item-column")
    user = _column(interactions, names, options.user_column, USER_GUESSES, "user ids", "--user-column")
    time = options.time_column or next((guess for guess in TIME_GUESSES if guess in names), None)
    if time is not None:
        time = _column(interactions, names, time, (), "times", "--time-column")
    return _Columns(item, found, category, taken, user, time)


def _column(path: Path, names: Sequence[str], asked: str | None, guesses: Sequence[str], what: str, flag: str) -> str:
    """The name of a column: the one asked for, else the first guess that is there."""
    found = next((name for name in ([asked] if asked else guesses) if name in names), None)
    if found is None:
        missing = asked or " or ".join(guesses)
        near = get_close_matches(missing, names, 1)
        raise UserError(
            f"{path} has no column {missing} for {what}; it has {', '.join(names)}.",
            (f"Did you mean {near[0]}? " if near else "") + f"Name the column with {flag}.",
        )
    if names.count(found) > 1:
        raise UserError(f"{path} has {names.count(found)} columns {found}.", "Rename all but one of them.")
    return found


def _items(path: Path, columns: _Columns) -> tuple[pa.Table, int, int]:
    """The items, each id once; how many rows have no id, and how many one that stands further up."""
    names = dict.fromkeys((columns.item, *columns.texts, *([columns.category] if columns.category else [])))
    raw = read_columns(path, list(names))
    parts = [tidy(_text(path, raw, name)) for name in columns.texts]
    text = parts[0] if len(parts) == 1 else tidy(pc.binary_join_element_wise(*parts, " "))
    table = {"item_id": _ids(path, raw, columns.item), "text": text}
    if columns.category:
        table["category"] = tidy(_text(path, raw, columns.category))
    catalogue = pa.table(table)
    named = catalogue.filter(pc.fill_null(pc.not_equal(catalogue.column("item_id"), ""), False))
    once, repeated = first_texts(named)
    return once, catalogue.num_rows - named.num_rows, repeated


def _interactions(path: Path, columns: _Columns) -> tuple[pa.Table, int, str]:
    """The interactions in file order, the number of rows without an id, and what their times mean."""
    names = dict.fromkeys((columns.user, columns.taken, *([columns.time] if columns.time else [])))
    raw = read_columns(path, list(names), repeating=list(names))
    table = {}
    has_ids = np.ones(raw.num_rows, bool)
    for name, column in (("user_id", columns.user), ("item_id", columns.taken)):
        codes, values = encode(_ids(path, raw, column))
        named = np.append(pc.not_equal(values, "").to_numpy(zero_copy_only=False), False)  # code -1 is the last place
        has_ids &= named[codes]
        table[name] = pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32), mask=codes < 0), values)
    unit = "row in the file"
    order = None
    if columns.time:
        exact, unit = _times(path, raw, columns.time)
        if exact.dtype == np.float64:
            # Times are kept in whole units; the fraction still decides the order.
            order = np.argsort(exact, kind="stable")
            exact = np.floor(exact)
        table["time"] = pa.array(exact.astype(np.int64))
    taken = pa.table(table)
    if order is not None:
        taken, has_ids = taken.take(pa.array(order)), has_ids[order]
    return taken.filter(pa.array(has_ids)), int((~has_ids).sum()), unit


def _text(path: Path, table: pa.Table, name: str) -> pa.ChunkedArray:
    """A column as text."""
    column = table.column(name)
    try:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise UserError(f"Column {name} of {path} holds {column.type}, not text.", "Name another column.") from None


def _ids(path: Path, table: pa.Table, name: str) -> pa.ChunkedArray:
    """An id column as text; whole numbers that a missing value made floats lose their `.0`."""
    column = table.column(name)
    if column.type == REPEATING:
        return column
    if pa.types.is_floating(column.type):
        try:
            table = table.set_column(table.column_names.index(name), name, column.cast(pa.int64()))
        except pa.ArrowInvalid:
            raise UserError(
                f"Column {name} of {path} holds fractions, which are no ids.", "Write ids as text."
            ) from None
    return _text(path, table, name)


def _times(path: Path, table: pa.Table, name: str) -> tuple[Numbers, str]:
    """Times [rows] as int64, or as float64 where they have fractions, and what they mean."""
    column = table.column(name)
    rows = np.arange(len(column))
    is_date = pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)
    if is_date:
        values = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_numpy() / 1e6
    elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        values = column.to_numpy()
    else:
        rows, texts = encode(_ids(path, table, name))  # each time is parsed once
        values, is_date = _parsed(texts)
    known = np.append(np.isfinite(values) & (np.abs(values) < 2.0**62), False)[rows]  # code -1 is the last place
    if not known.all():
        row = int(np.argmin(known))
        value = column[row].as_py()
        line = row + (2 if kind_of(path) in SEPARATORS else 1)
        said = "no time" if value in (None, "") else f"a time that is no number and no ISO date, {value},"
        raise UserError(
            f"{path} has {said} in row {line} of column {name}.",
            "Give every row a number or an ISO date such as 2024-03-09T14:05:00.",
        )
    taken = values[rows]
    unit = "seconds since 1970-01-01 UTC" if is_date else f"{name}, as in the file"
    return (taken if np.any(taken % 1) else taken.astype(np.int64)), unit


def _parsed(texts: pa.Array) -> tuple[Numbers, bool]:
    """Numbers [texts], or seconds of ISO dates, NaN where a text is neither; and whether they were dates."""
    for number in (pa.int64(), pa.float64()):
        try:
            return texts.cast(number).to_numpy(), False
        except pa.ArrowInvalid:
            continue
    values = texts.to_pandas()
    numbers = pd.to_numeric(values, errors="coerce")
    dates = pd.to_datetime(values, format="ISO8601", utc=True, errors="coerce")
    if numbers.notna().sum() >= dates.notna().sum():
        return numbers.to_numpy(np.float64), False
    micros = dates.dt.as_unit("us").astype("int64").to_numpy()
    return np.where(dates.notna(), micros / 1e6, np.nan), True
