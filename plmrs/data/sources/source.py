"""What every raw layout gives: items with their text, interactions, and an account of what was read and dropped.

Interactions are columns from the file to the prepared data set: ids become numbers a batch at a time, and only these
are sorted and counted, so tens of millions of rows need no Python object each, nor their text in memory.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from plmrs.data.sources.numbering import encoded, first_rows
from plmrs.workspace import file_sha256

SECONDS = "seconds since 1970-01-01 UTC"
"""The unit of times that are dates."""
ROWS = "row in the file"
"""The unit of times where the source has none."""


@dataclass(frozen=True)
class SourceFile:
    """A raw file as it was read."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Tally:
    """A line of the account: `count` of `what`, and why they were dropped or what they are."""

    what: str
    count: int
    why: str


@dataclass(frozen=True)
class Interactions:
    """Who took what, in the order of the raw files.

    Attributes:
        users: The user of each, a row of `user_ids`. [n] int32
        user_ids: The source's ids in the order in which they first come; some may be nobody's. [users]
        items: The item of each, a row of `item_ids`. [n] int32
        item_ids: The source's ids, in any order; some may be nothing's. [items taken]
        times: When; floats have fractions that decide the order. None where only the order is known. [n]
    """

    users: NDArray[np.int32]
    user_ids: pa.StringArray
    items: NDArray[np.int32]
    item_ids: pa.StringArray
    times: NDArray[np.int64] | NDArray[np.float64] | None


@dataclass(frozen=True)
class Source:
    """A raw data set.

    Attributes:
        items: Columns item_id, text (may be empty) and optionally category, all strings; no id twice.
        interactions: Who took what.
        time_unit: What times mean: `SECONDS`, `ROWS`, or a unit of the source's own.
        files: The raw files. Empty for generated data.
        read: What was read.
        dropped: What this layout dropped by itself, and why.
        rules: The rules it followed, for the manifest.
        options: The settings its content depends on, as they took effect.
    """

    items: pa.Table
    interactions: Interactions
    time_unit: str
    files: tuple[SourceFile, ...] = ()
    read: tuple[Tally, ...] = ()
    dropped: tuple[Tally, ...] = ()
    rules: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


def measured(paths: Sequence[Path]) -> Callable[[], tuple[SourceFile, ...]]:
    """Begin to hash raw files beside their reading; the function given waits for the result."""
    found: list[SourceFile] = []
    failed: list[OSError] = []

    def measure() -> None:
        try:
            found.extend(SourceFile(str(path), path.stat().st_size, file_sha256(path)) for path in paths)
        except OSError as error:
            failed.append(error)

    thread = Thread(target=measure, daemon=True)
    thread.start()

    def result() -> tuple[SourceFile, ...]:
        thread.join()
        for error in failed:
            raise error
        return tuple(found)

    return result


def first_texts(items: pa.Table) -> tuple[pa.Table, int]:
    """The items with every id once, its first row kept, and the number of rows left out."""
    codes, values = encoded(items.column("item_id").combine_chunks())
    first = first_rows(codes, len(values))
    return items.take(pa.array(np.sort(first))), items.num_rows - len(first)
