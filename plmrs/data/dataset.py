"""A prepared data set on disk: Feather files, opened by memory map so that size costs nothing until it is read.

Items are numbered 1…n in the order of `items.feather` (row i is item i + 1); 0 is padding. Histories are one flat array
of item numbers with an offset a user, oldest item first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import feather

from plmrs.errors import UserError
from plmrs.workspace import PARTIAL, Workspace, check_format, newest_first, read_json

FORMAT = 3
MANIFEST = "manifest.json"
ITEMS = "items.feather"
HISTORIES = "histories.feather"

MOST = 2**31 - 1
"""Interactions of a data set: offsets are int32."""

Strings: TypeAlias = Sequence[str] | pa.StringArray


@dataclass(frozen=True)
class Histories:
    """What each user took, oldest first: user u took `items[start[u]:stop[u]]`.

    Attributes:
        items: Item numbers of all users, one after the other. [interactions] int32
        start: First position of each user. [users] int64
        stop: Position behind the last of each user. [users] int64
    """

    items: NDArray[np.int32]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Items of each user. [users]"""
        return self.stop - self.start

    def flat(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The row of each item, and its position in `items`, over all histories in turn. ([n], [n])"""
        lengths = self.lengths
        rows = np.repeat(np.arange(len(self)), lengths)
        return rows, np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths - self.start, lengths)

    def take(self, users: NDArray[np.int64] | slice) -> "Histories":
        """The histories of some users, in that order; `items` is shared."""
        return Histories(self.items, self.start[users], self.stop[users])


@dataclass(frozen=True)
class Dataset:
    """A prepared data set.

    Attributes:
        name: The name it was prepared under.
        folder: Where it lies.
        manifest: Sources, options, counts, what was dropped, fingerprints, versions.
    """

    name: str
    folder: Path
    manifest: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Hash of everything in it: ids, texts, histories."""
        return str(self.manifest["fingerprint"])

    @property
    def texts_fingerprint(self) -> str:
        """Hash of the items' ids and texts in order: what a cache of item vectors depends on."""
        return str(self.manifest["texts_fingerprint"])

    @cached_property
    def _items(self) -> pa.Table:
        return self._mapped(ITEMS)

    @cached_property
    def _users(self) -> pa.Table:
        return self._mapped(HISTORIES)

    def _mapped(self, name: str) -> pa.Table:
        """One of its files, memory-mapped.

        Raises:
            UserError: it is gone or has another size, or the data set was prepared anew since it was opened.
        """
        again, path = f"Run `plmrs prepare {self.name}` again.", self.folder / name
        try:
            table, size = feather.read_table(path, memory_map=True), path.stat().st_size
        except FileNotFoundError:
            raise UserError(f"{path} does not exist.", again) from None
        except pa.ArrowInvalid:
            table, size = None, path.stat().st_size
        # Only now: a file that is mapped stays what it is, also when another takes its name.
        manifest = self.folder / MANIFEST
        if manifest.is_file() and read_json(manifest).get("fingerprint") != self.fingerprint:
            raise UserError(f"Data set {self.name} was prepared anew meanwhile.", "Run the same command again.")
        written = self.manifest["files"][name]["bytes"]
        if table is None or size != written:
            raise UserError(f"{path} is damaged or was changed: {size:,} bytes, of {written:,} as written.", again)
        return table

    @property
    def n_items(self) -> int:
        """Items, padding not counted."""
        return int(self._items.num_rows)

    @property
    def n_users(self) -> int:
        """Users."""
        return int(self._users.num_rows)

    @property
    def item_table(self) -> pa.Table:
        """Columns item_id, text, count and, where the source has them, category; row i is item i + 1. Memory-mapped."""
        return self._items

    @property
    def user_column(self) -> pa.ChunkedArray:
        """The source's ids of the users, memory-mapped."""
        return self._users.column("user_id")

    def item_ids(self) -> list[str]:
        """The source's ids of items 1…n."""
        return self._items.column("item_id").to_pylist()  # type: ignore[no-any-return]

    def texts(self) -> list[str]:
        """The texts of items 1…n."""
        return self._items.column("text").to_pylist()  # type: ignore[no-any-return]

    def item_ids_of(self, items: NDArray[np.int32]) -> list[str]:
        """The source's ids of some items, by their numbers."""
        return self._items.column("item_id").take(pa.array(items - 1)).to_pylist()  # type: ignore[no-any-return]

    def texts_of(self, items: NDArray[np.int32]) -> list[str]:
        """The texts of some items, by their numbers."""
        return self._items.column("text").take(pa.array(items - 1)).to_pylist()  # type: ignore[no-any-return]

    def categories(self) -> list[str] | None:
        """The categories of items 1…n, where the source has them."""
        return self._items.column("category").to_pylist() if "category" in self._items.column_names else None

    def user_ids(self) -> list[str]:
        """The source's ids of the users."""
        return self._users.column("user_id").to_pylist()  # type: ignore[no-any-return]

    def user_ids_of(self, users: NDArray[np.int64]) -> list[str]:
        """The source's ids of some users, by their rows."""
        return self._users.column("user_id").take(pa.array(users)).to_pylist()  # type: ignore[no-any-return]

    @cached_property
    def histories(self) -> Histories:
        """All histories, whole, memory-mapped."""
        column = self._users.column("items").chunk(0)
        offsets = _numbers(column.offsets, np.int32).astype(np.int64)
        return Histories(_numbers(column.values, np.int32), offsets[:-1], offsets[1:])

    @cached_property
    def times(self) -> NDArray[np.int64]:
        """When each item of `histories.items` was taken, in the source's unit (seconds where it has dates)."""
        return _numbers(self._users.column("times").chunk(0).values, np.int64)


def _numbers(array: pa.Array, kind: type[np.generic]) -> NDArray[Any]:
    """An Arrow array without nulls as numpy's, not copied. (Its own `to_numpy` imports pandas first.)"""
    return np.frombuffer(array.buffers()[1], kind, len(array), array.offset * np.dtype(kind).itemsize)


def write_items(
    folder: Path, item_ids: Strings, texts: Strings, categories: Strings | None, counts: NDArray[np.int64]
) -> None:
    """Write the item table; `counts` [items] is each item's number of interactions kept."""
    columns: dict[str, Any] = {"item_id": pa.array(item_ids, pa.string()), "text": pa.array(texts, pa.string())}
    if categories is not None:
        columns["category"] = pa.array(categories, pa.string())
    columns["count"] = pa.array(counts, pa.int32())
    _write(pa.table(columns), folder / ITEMS)


def write_histories(
    folder: Path, user_ids: Strings, items: NDArray[np.int32], times: NDArray[np.int64], offsets: NDArray[np.int64]
) -> None:
    """Write the histories: flat `items` and `times` [interactions]; user u has `offsets[u]:offsets[u + 1]`.

    Raises:
        UserError: they are more than a file's offsets can count.
    """
    if len(items) > MOST:
        raise UserError(f"{len(items):,} interactions are too many: {MOST:,} at most.", "Keep fewer: --sample-users.")
    bounds = pa.array(offsets.astype(np.int32), pa.int32())
    lists = {"items": pa.array(items, pa.int32()), "times": pa.array(times, pa.int64())}
    columns = {name: pa.ListArray.from_arrays(bounds, flat) for name, flat in lists.items()}
    _write(pa.table({"user_id": pa.array(user_ids, pa.string()), **columns}), folder / HISTORIES)


def _write(table: pa.Table, path: Path) -> None:
    # One uncompressed chunk: it can be memory-mapped, and two runs write the same bytes.
    feather.write_feather(table, str(path), compression="uncompressed", chunksize=max(1, table.num_rows))


def prepared_names(workspace: Workspace) -> list[str]:
    """The prepared data sets, the one prepared last first."""
    manifests = workspace.prepared("").glob(f"*/{MANIFEST}")
    return [path.parent.name for path in newest_first(manifests) if PARTIAL not in path.parent.name]


def open_dataset(workspace: Workspace, name: str | None = None) -> Dataset:
    """Open a prepared data set; without a name, the one prepared last.

    Raises:
        UserError: there is none of that name, or another version of plmrs wrote it.
    """
    known = prepared_names(workspace)
    if name is None and not known:
        raise UserError(
            f"No data set is prepared below {workspace.root}.", "Run `plmrs prepare demo` or name your data."
        )
    name = name or known[0]
    if name not in known:
        close = get_close_matches(name, known, 1)
        hint = f"Did you mean {close[0]}?" if close else f"Prepare it first: `plmrs prepare {name}`."
        raise UserError(f"No data set {name} is prepared below {workspace.root}.", hint)
    folder = workspace.prepared(name)
    manifest = read_json(folder / MANIFEST)
    check_format(folder, manifest.get("format"), FORMAT, f"run `plmrs prepare {name}` again")
    return Dataset(name, folder, manifest)
