"""What every raw layout gives: items with their text, interactions, and an account of what was read and dropped.

Interactions stay columns from the file to the prepared data set: ids are dictionary-encoded once, then only their
numbers are sorted and counted, so tens of millions of rows need no Python object each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from plmrs.workspace import file_sha256


@dataclass(frozen=True)
class SourceFile:
    """A raw file as it was read."""

    path: str
    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "SourceFile":
        """Measure the file at `path`."""
        return cls(str(path), path.stat().st_size, file_sha256(path))


@dataclass(frozen=True)
class Tally:
    """A line of the account: `count` of `what`, and why they were dropped or what they are."""

    what: str
    count: int
    why: str


@dataclass(frozen=True)
class Source:
    """A raw data set.

    Attributes:
        items: Columns item_id, text (may be empty) and optionally category, all strings; no id twice.
        interactions: Columns user_id and item_id (dictionary-encoded strings), and time (int64) where there are times.
            Row order is the order in the raw files.
        time_unit: What `time`, or the row number in its place, means.
        files: The raw files. Empty for generated data.
        read: What was read.
        dropped: What this layout dropped by itself, and why.
        rules: The rules it followed, for the manifest.
        options: The settings its content depends on, as they took effect.
    """

    items: pa.Table
    interactions: pa.Table
    time_unit: str
    files: tuple[SourceFile, ...] = ()
    read: tuple[Tally, ...] = ()
    dropped: tuple[Tally, ...] = ()
    rules: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


def encode(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], pa.Array]:
    """The codes [rows] of a string column and the distinct strings [values] they number.

    A missing value has code -1.
    """
    encoded = pa.types.is_dictionary(column.type)
    column = column.unify_dictionaries() if encoded else column.dictionary_encode()
    if not column.num_chunks:
        return np.zeros(0, np.int64), pa.array([], pa.string())
    codes = [pc.fill_null(chunk.indices, -1).to_numpy().astype(np.int64) for chunk in column.chunks]
    return np.concatenate(codes), column.chunk(0).dictionary.cast(pa.string())


def first_texts(items: pa.Table) -> tuple[pa.Table, int]:
    """The items with every id once, its first row kept, and the number of rows left out."""
    codes, values = encode(items.column("item_id"))
    first = first_rows(codes, len(values))
    return items.take(pa.array(np.sort(first))), items.num_rows - len(first)


def first_rows(codes: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """The row [n] in which each of the codes 0…n-1 stands first; every code occurs.

    Example: `first_rows([1, 0, 1], 2)` is `[1, 0]`.
    """
    first = np.zeros(n, np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # of several assignments to one place the last one stays
    return first


def tidy(text: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Texts without white space around them, every run of it inside one space; missing ones empty."""
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(pc.fill_null(text, ""), r"[\s\p{Z}]+", " "))
