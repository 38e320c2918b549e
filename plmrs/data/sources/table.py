"""Any two tables: one of items with their text, one of who took what."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from plmrs.config import RawOptions
from plmrs.data.sources import texts, times
from plmrs.data.sources.columns import Columns, find_columns
from plmrs.data.sources.damage import no_rows
from plmrs.data.sources.files import batches, read_columns
from plmrs.data.sources.numbering import Numbering, encoded
from plmrs.data.sources.raw import SEPARATORS, RawFile
from plmrs.data.sources.source import ROWS, Interactions, Source, Tally, first_texts, measured
from plmrs.data.sources.texts import Wording
from plmrs.errors import UserError

EXACT = (1 << 53) - 1
"""The largest whole number that no other one becomes when both are floats."""
ITEM_RULES = (
    "Ids are text, as they stand in the file.",
    "Of several items with one id the first row is kept.",
    texts.RULE,
    "Tab-separated files have no quoting: a quote is a character like any other.",
)


def read(items: RawFile, interactions: RawFile, options: RawOptions) -> Source:
    """Read a table of items and a table of interactions.

    Args:
        items: The items' table.
        interactions: The interactions' table, read a batch at a time.
        options: The names of the columns; those left out are guessed as their help says.

    Raises:
        UserError: a file is damaged or not UTF-8; a column is missing; an id is a fraction; a time is missing or no
            time.
    """
    columns = find_columns(items, interactions, options)
    files = measured(list(dict.fromkeys([*items.paths, *interactions.paths])))
    catalogue, nameless, repeated = read_items(items, columns.item, columns.words, columns.category)
    taken, without_id, unit = _interactions(interactions, columns)
    effective = {
        "item": columns.item,
        "texts": list(columns.words.fields),
        "between_texts": list(columns.words.between),
        "category": columns.category,
        "taken": columns.taken,
        "user": columns.user,
        "time": columns.time,
    }
    return Source(
        catalogue,
        taken,
        unit,
        files=files(),
        read=(
            Tally("items", catalogue.num_rows + nameless + repeated, items.name),
            Tally("interactions", len(taken.users) + without_id, interactions.name),
        ),
        dropped=(
            Tally("items", nameless, "they have no id"),
            Tally("items", repeated, "their id stands in an earlier row, whose text is kept"),
            Tally("interactions", without_id, "they have no user id or no item id"),
        ),
        rules=(*ITEM_RULES, times.RULE),
        options={"columns": effective},
    )


def read_items(file: RawFile, item: str, words: Wording, category: str | None) -> tuple[pa.Table, int, int]:
    """The items, each id once; how many rows have no id, and how many one that stands further up.

    Raises:
        UserError: the file is damaged or not UTF-8, it holds no rows, or an id is a fraction.
    """
    raw = read_columns(file, list(dict.fromkeys((item, *words.fields, *([category] if category else [])))))
    parts = {name: _text(file, name, raw.column(name).combine_chunks()) for name in words.fields}
    codes, ids = _ids(file, item, raw.column(item).combine_chunks())
    table = {"item_id": ids.take(pa.array(codes, mask=codes < 0)), "text": words.texts(parts)}
    if category:
        table["category"] = texts.tidy(_text(file, category, raw.column(category).combine_chunks()))
    catalogue = pa.table(table)
    named = catalogue.filter(pa.array(codes >= 0))
    once, repeated = first_texts(named)
    return once, catalogue.num_rows - named.num_rows, repeated


def _interactions(file: RawFile, columns: Columns) -> tuple[Interactions, int, str]:
    """The interactions in file order, the number of rows without an id, and what their times mean."""
    users, items = Numbering(), Numbering()
    clock = times.Times(file, columns.time) if columns.time else None
    rows = without_id = 0
    names = dict.fromkeys((columns.user, columns.taken, *([columns.time] if columns.time else [])))
    for batch in batches(file, list(names), (columns.user, columns.taken)):
        user_codes, user_values = _ids(file, columns.user, batch.column(columns.user))
        item_codes, item_values = _ids(file, columns.taken, batch.column(columns.taken))
        kept = (user_codes >= 0) & (item_codes >= 0)
        if not kept.all():
            user_codes, item_codes = user_codes[kept], item_codes[kept]
        users.add(user_codes, user_values)
        items.add(item_codes, item_values)
        if clock is not None:
            clock.add(batch.column(columns.time), kept)
        rows += len(batch)
        without_id += int((~kept).sum())
    if not rows:
        raise no_rows(file)
    taken_at, unit = clock.finish() if clock is not None else (None, ROWS)
    return Interactions(*users.finish(), *items.finish(), taken_at), without_id, unit


def _ids(file: RawFile, name: str, column: pa.Array) -> tuple[NDArray[np.int32], pa.StringArray]:
    """The codes of a column of ids [rows], -1 where there is none, and the ids as text.

    Whole numbers that a missing value made floats lose their `.0`.
    """
    if pa.types.is_nested(column.type):
        raise _no_text(file, name, column)
    if pa.types.is_dictionary(column.type) and file.kind not in SEPARATORS:
        column = column.dictionary_decode()  # its dictionary may be in any order, ours is that of the rows
    codes, values = encoded(column)
    if pa.types.is_floating(values.type):
        try:
            whole = values.cast(pa.int64())
        except pa.ArrowInvalid:
            raise UserError(
                f"Column {name} of {file} holds fractions, which are no ids.", "Write ids as text."
            ) from None
        if any(pc.greater(pc.abs(whole), EXACT).to_pylist()):
            raise UserError(
                f"Column {name} of {file} holds numbers too large to be exact, which are no ids.", "Write ids as text."
            )
        values = whole
    values = _text(file, name, values)
    named = pc.not_equal(values, "").to_numpy(zero_copy_only=False)
    if not named.all():
        codes = np.where(np.append(named, False)[codes], codes, np.int32(-1))  # code -1 is the last place
    return codes, values


def _text(file: RawFile, name: str, column: pa.Array) -> pa.StringArray:
    """A column as text; lists of texts are joined by a space."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            lists = column.cast(pa.list_(pa.string()))
            named = pa.ListArray.from_arrays(lists.offsets, pc.fill_null(lists.values, ""))
            return pc.binary_join(named, " ")
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise _no_text(file, name, column) from None


def _no_text(file: RawFile, name: str, column: pa.Array) -> UserError:
    return UserError(f"Column {name} of {file} holds {column.type}, not text.", "Name another column.")
