"""Tables of the NineRec and MicroLens kind: items with their title, and pairs of a user and an item with their time.

Names begin with the data set's, as in `MicroLens-50k_titles.csv` and `Bili_Food_pair.csv`. MicroLens has headers.
NineRec has none, and says `user, item` where its files have `item, user`, so the ids tell which is which.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from plmrs.config import RawOptions
from plmrs.data.sources import research, table
from plmrs.data.sources.files import batches, column_names, read_columns
from plmrs.data.sources.places import not_found, raw_files, table_name
from plmrs.data.sources.raw import SEPARATORS, RawFile
from plmrs.data.sources.source import Source
from plmrs.errors import UserError

OWNER = "NineRec (https://github.com/westlake-repl/NineRec) or MicroLens (https://github.com/westlake-repl/MicroLens)"
ITEMS = re.compile(r"(^|[^a-z])(titles?|titles?_en|items?)$")
"""Ends of the items' names, in lower case, `.csv` and the like left out."""
PAIRS = re.compile(r"(^|[^a-z])(pairs?|behaviours?)$")
ITEM_COLUMNS = {2: ("item_id", "title"), 3: ("item_id", "title_zh", "title")}
"""The columns of items without a header: NineRec has a Chinese title and its English translation."""
HISTORY_COLUMNS = ("userid", "behaviors")
"""The columns of a user's items in a row, as in `MicroLens-50k_pairs.tsv`."""


def find(places: Sequence[Path]) -> tuple[RawFile, RawFile] | None:
    """The items and the pairs; None unless both are there.

    Raises:
        UserError: there are several of one of them.
    """
    items, pairs = _candidates(places)
    if not items or not pairs:
        return None
    return _only(items, "tables of items"), _only(pairs, "tables of pairs")


def missing(name: str, places: Sequence[Path]) -> UserError:
    """The error when a table is not there."""
    names = ("table of items such as MicroLens-50k_titles.csv", "table of pairs such as MicroLens-50k_pairs.csv")
    lacking = [table for table, files in zip(names, _candidates(places), strict=True) if not files]
    return not_found(" and no ".join(lacking), name, places, OWNER)


def read(items: RawFile, pairs: RawFile, options: RawOptions) -> Source:
    """Read the items and the pairs, with or without headers.

    Args:
        items: The table of items.
        pairs: The table of pairs, or a user's items in a row.
        options: The names of the columns, where they are others.

    Raises:
        UserError: a file is damaged or not UTF-8, or what its columns hold cannot be told.
    """
    if not _has_header(items):
        items = _named(items, ITEM_COLUMNS, "item_id,title")
    rows = pairs.kind == ".tsv" and not _has_header(pairs) and len(column_names(pairs)) == 2
    if rows:
        pairs = replace(pairs, header=HISTORY_COLUMNS)
        source = research.read(items, pairs, options)
    else:
        if not _has_header(pairs):
            pairs = _named(pairs, _pair_columns(items, pairs), "user,item,timestamp")
        source = table.read(items, pairs, options)
    unnamed = [file for file in (items, pairs) if file.header]
    rules = [f"{file.name} has no header; its columns are {', '.join(file.header or ())}." for file in unnamed]
    return replace(source, rules=(*source.rules, *rules))


def _candidates(places: Sequence[Path]) -> tuple[list[RawFile], list[RawFile]]:
    """The tables of items and those of pairs in the nearest place that has any; of pairs those that have times."""
    items = next((found for place in places if (found := _ending(place, ITEMS))), [])
    pairs = next((found for place in places if (found := _ending(place, PAIRS))), [])
    timed = min((_untimed(file) for file in pairs), default=0)
    return items, [file for file in pairs if _untimed(file) == timed]


def _ending(place: Path, ends: re.Pattern[str]) -> list[RawFile]:
    """The tables in a place whose names end so; a zipped one only when it is not there unzipped."""
    files = [file for file in raw_files([place]) if ends.search(Path(table_name(file)).stem)]
    unzipped = {table_name(file) for file in files if file.member is None}
    return [file for file in files if file.member is None or table_name(file) not in unzipped]


def _untimed(file: RawFile) -> int:
    """0 for what should have times, more for what likely is made from it: a user's items in a row."""
    return 2 if "behaviour" in table_name(file) else int(file.kind == ".tsv")


def _only(files: Sequence[RawFile], what: str) -> RawFile:
    if len(files) > 1:
        raise UserError(
            f"bilibili: there are several {what}: {', '.join(str(file) for file in files)}.",
            "Leave one of them there, or name the tables with --items FILE --interactions FILE.",
        )
    return files[0]


def _has_header(file: RawFile) -> bool:
    """Whether a table has a header: a text file whose first word has a digit begins with an id."""
    return file.kind not in SEPARATORS or not any(letter.isdigit() for letter in column_names(file)[0])


def _named(file: RawFile, columns: dict[int, tuple[str, ...]], example: str) -> RawFile:
    """A file without a header, with names by the number of its columns."""
    n = len(column_names(file))
    if n not in columns:
        raise UserError(
            f"{file} has no header, and not {' or '.join(map(str, columns))} columns, but {n}.",
            f"Write a header such as {example} as its first line.",
        )
    return replace(file, header=columns[n])


def _pair_columns(items: RawFile, pairs: RawFile) -> dict[int, tuple[str, ...]]:
    """The columns of pairs without a header, by their number: that of the items is the one with ids of the items."""
    names = tuple(str(place) for place in range(len(column_names(pairs))))
    ids = read_columns(items, [column_names(items)[0]]).column(0).cast(pa.string())
    rows = next(batches(replace(pairs, header=names), names[:2]))
    held = [pc.any(pc.is_in(column, ids)).as_py() for column in rows.columns]
    if sum(held) != 1:
        which = "both" if all(held) else "neither"
        raise UserError(
            f"{pairs} has no header, and ids of {items} stand in {which} of its first two columns.",
            "Write a header such as user,item,timestamp as its first line.",
        )
    first, second = ("item_id", "user_id") if held[0] else ("user_id", "item_id")
    return {2: (first, second), 3: (first, second, "timestamp")}
