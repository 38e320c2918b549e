"""States on disk: a Zarr v3 group a cache, opened, written a unit at a time, and read; torch is not needed.

A unit of work is a run of texts that fills exactly one chunk of each array, so that no two processes ever write to one
chunk, and what is lost with a killed process is a unit at most.

    <plm>/<boundary>-<fingerprint>.zarr/
        zarr.json               the manifest, as the group's attributes
        text_of_item            [items] int32; row i is item i + 1
        length                  [texts] int32, tokens of each text
        mean/ last/ cls/        behind the last block: [units · R, H], row u · R + i is text i of unit u
        hidden/                 at other boundaries, and where wanted: [units · C, H], from row u · C on the states of
                                the tokens of unit u, text after text
        done/<unit>.json        written after the unit's chunks

R and C are the most texts and tokens that a unit has; rows behind those of a unit are NaN. Chunks are uncompressed,
each with a CRC-32C.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plmrs.cache.dtypes import STORED, all_finite, to_float32
from plmrs.cache.facts import Facts
from plmrs.cache.files import DamagedError, OpenChunk, Place, open_chunks, read_array
from plmrs.cache.integrity import Damage
from plmrs.cache.layout import Layout, new_layout
from plmrs.cache.manifest import FINAL, HIDDEN, REMOVE, arrays, read_manifest
from plmrs.cache.marks import DONE, Mark, Marks, done_units, mark_done, read_marks
from plmrs.cache.read import Reader
from plmrs.cache.texts import Texts
from plmrs.cache.write import NotFiniteError, write_chunk, writing
from plmrs.data.dataset import Dataset
from plmrs.errors import UserError
from plmrs.plm.checkpoint import known_identity
from plmrs.workspace import PARTIAL, Workspace


@dataclass(frozen=True)
class Cache(Facts):
    """The states of one PLM at one boundary, over the items of one data set.

    Attributes:
        path: Its folder, a Zarr group.
        manifest: Data set, PLM, options and format it was made with.
        url: Where it lies when that is no local folder; it is read only then, and `path` serves for its name.
        memory: Bytes up to which an array is held in memory when it is first gathered from.
        verified: Whether an array is read and compared with its checksums when it is first gathered from.
    """

    url: str | None = None
    memory: int = field(default=0, compare=False)
    verified: bool = field(default=True, compare=False)
    _readers: dict[str, Reader] = field(default_factory=dict, init=False, repr=False, compare=False)
    _chunks: dict[str, OpenChunk] = field(default_factory=dict, init=False, repr=False, compare=False)
    _compared: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """What another process is sent: nothing that was read, but that it was compared."""
        kept = {name: getattr(self, name) for name in ("path", "manifest", "url", "memory", "verified", "_compared")}
        return kept | {"_readers": {}, "_chunks": {}}

    @property
    def place(self) -> Place:
        """Where it lies."""
        return self.url or self.path

    @property
    def is_complete(self) -> bool:
        """Whether every unit is done."""
        return not self.units_missing()

    @cached_property
    def texts(self) -> Texts:
        """The distinct texts, and which of them each item has.

        Raises:
            UserError: the tables are damaged.
        """
        n_texts = int(self.manifest["n_texts"])
        try:
            texts = Texts(
                read_array(self.place, "length", n_texts), read_array(self.place, "text_of_item", self.n_items)
            )
            if texts.fingerprint == self.manifest["text_table"]:
                return texts
            reason = "they are not those it was made with"
        except DamagedError as error:
            reason = str(error)
        raise UserError(
            f"The tables of texts in the cache {self.place} are damaged: {reason}.", REMOVE.format(self.place)
        )

    @cached_property
    def layout(self) -> Layout:
        """Which texts are in which unit.

        Raises:
            UserError: the tables of texts are damaged.
        """
        return new_layout(self.texts.length, self.hidden_size)

    def units_missing(self) -> list[int]:
        """The units without a done-mark, in order."""
        done = done_units(self.place)
        return [unit for unit in range(self.n_units) if unit not in done]

    def counts(self) -> dict[str, float]:
        """Sums over the finished units: `items`, `texts`, `tokens`, and what `write_unit` was given besides."""
        sums: dict[str, float] = dict.fromkeys(("items", "texts", "tokens"), 0)
        for mark in self._marks(range(self.n_units)).values():
            for name, value in mark.counts.items() if isinstance(mark, Mark) else ():
                sums[name] = sums.get(name, 0) + value
        return sums

    def write_unit(
        self,
        unit: int,
        pooled: Mapping[str, NDArray[Any]] | None = None,
        hidden: NDArray[Any] | None = None,
        counts: Mapping[str, float] | None = None,
    ) -> None:
        """Write a unit's states, then its mark. A mark that it has is removed first.

        Args:
            unit: Which unit; no two processes write the same at a time.
            pooled: An array a pooling, where this cache has poolings. float32, float16, or uint16 for the patterns of
                bfloat16. [texts of the unit, H]
            hidden: The states of its tokens, text after text, where this cache keeps them. [tokens of the unit, H]
            counts: What it took besides, as in `seconds`; `counts()` sums it.

        Raises:
            UserError: a number is not finite or too large for the cache's dtype, the disk is full or cannot be written,
                or the cache lies in a store.
        """
        if self.url is not None:
            raise UserError(f"{self.url} is read only.", "Make the cache in a local folder and copy it.")
        given = {**(pooled or {}), **({} if hidden is None else {HIDDEN: hidden})}
        for name in self.arrays:
            if name not in given or given[name].shape != (self._n_rows(unit, name), self.hidden_size):
                shape = given[name].shape if name in given else "none"
                raise ValueError(f"{name} of unit {unit}: {self._n_rows(unit, name)} rows are needed, given {shape}.")
        self._readers.clear()
        self._compared.clear()
        checksums = {}
        with writing(self.path):
            (self.path / DONE / f"{unit}.json").unlink(missing_ok=True)
            for name, rows in arrays(self.manifest).items():
                file = self.path / name / "c" / str(unit) / "0"
                try:
                    checksums[name] = write_chunk(file, given[name], rows, self.dtype)
                except NotFiniteError as error:
                    raise self._not_finite(error.as_given) from None
            mark_done(self.path, self.fingerprint, unit, Mark(checksums, {**self._sizes(unit), **(counts or {})}))

    def read_unit(self, unit: int, array: str) -> NDArray[Any]:
        """A unit's rows of an array, as they are stored. [texts or tokens of the unit, H]

        Raises:
            UserError: it does not hold this array, or the unit is not done or damaged.
        """
        return np.array(self._rows(unit, array, self._marks([unit])))

    def read_unit_hidden(self, unit: int) -> NDArray[Any]:
        """The states of a unit's tokens, as they are stored. [tokens of the unit, H]

        Raises:
            UserError: as for `read_unit`.
        """
        return self.read_unit(unit, HIDDEN)

    def read(self, pooling: str) -> NDArray[Any]:
        """All vectors of one pooling; row i is item i + 1. [items, H] float16 or float32

        Raises:
            UserError: it does not hold this pooling, is not complete, or a unit is damaged.
        """
        self._check_holds(pooling)
        self._check_complete()
        texts, bounds = self.texts, self.layout.bounds
        by_text = np.argsort(texts.text_of_item, kind="stable")
        ends = np.searchsorted(texts.text_of_item[by_text], bounds)
        marks = self._marks(range(self.n_units))
        vectors = np.empty((self.n_items, self.hidden_size), np.float32 if self.dtype == "bfloat16" else self.dtype)
        for unit in range(self.n_units):
            items = by_text[ends[unit] : ends[unit + 1]]
            rows = self._rows(unit, pooling, marks)[texts.text_of_item[items] - bounds[unit]]
            vectors[items] = to_float32(rows) if self.dtype == "bfloat16" else rows
        return vectors

    def gather(self, items: NDArray[np.integer[Any]], pooling: str) -> NDArray[Any]:
        """The vectors of some items, as they are stored; `as_torch` makes a tensor of them.

        Args:
            items: Their numbers, 1…n. [n]
            pooling: Which vectors.

        Returns:
            Row i is that of item `items[i]`. [n, H] float16, float32, or uint16 for the patterns of bfloat16

        Raises:
            UserError: it does not hold this pooling, is not complete, or a unit is damaged.
        """
        self._check_holds(pooling)
        return self._reader(pooling).gather(items)[0]

    def gather_hidden(self, items: NDArray[np.integer[Any]]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The states of all tokens of some items, one item's after the other's.

        Args:
            items: Their numbers, 1…n. [n]

        Returns:
            States as `gather` gives them [tokens, H], and the tokens of each item [n].

        Raises:
            UserError: it does not hold them, is not complete, or a unit is damaged.
        """
        self._check_holds(HIDDEN)
        return self._reader(HIDDEN).gather(items)

    def damage(self, unit: int, array: str) -> Damage | None:
        """What is wrong with a unit that should be done; None when its rows are those that were written."""
        try:
            self._sound_rows(unit, array, self._marks([unit]))
        except DamagedError as error:
            return Damage(unit, array, str(error))
        return None

    def _reader(self, array: str) -> Reader:
        """An array opened for reading, once."""
        if array not in self._readers:
            self._check_complete()
            length = self.texts.length.astype(np.int64) if array == HIDDEN else np.ones(len(self.texts), np.int64)
            # What lies in a store is compared each time that it comes.
            check = self.url is not None or (self.verified and array not in self._compared)
            marks = self._marks(range(self.n_units)) if check else None
            self._readers[array] = Reader(
                lambda unit: self._rows(unit, array, marks),
                self.hidden_size,
                STORED[self.dtype],
                self.layout,
                length,
                self.texts.text_of_item,
                self.memory,
                keep=self.url is None,
            )
            if self.verified:
                self._compared.add(array)
        return self._readers[array]

    def _rows(self, unit: int, array: str, marks: Marks | None) -> NDArray[Any]:
        """A unit's rows in an array, compared with its mark unless there are none. [texts or tokens of the unit, H]"""
        self._check_holds(array)
        try:
            return self._sound_rows(unit, array, marks)
        except DamagedError as error:
            again = f"`plmrs inspect {self.path.stem} --repair` makes again what is damaged."
            raise UserError(
                f"Unit {unit} of {array} in the cache {self.place} is damaged: {error}.",
                again if self.url is None else "Copy it there again.",
            ) from None

    def _sound_rows(self, unit: int, array: str, marks: Marks | None) -> NDArray[Any]:
        if marks is None:
            return self._chunk(array)(unit, None)[: self._n_rows(unit, array)]
        mark = marks.get(unit, DamagedError("it has no done-mark"))
        if isinstance(mark, DamagedError):
            raise mark
        rows = self._chunk(array)(unit, mark.checksums.get(array, -1))[: self._n_rows(unit, array)]
        if not all_finite(rows):
            raise DamagedError("it holds NaN or infinity")
        return rows

    def _chunk(self, array: str) -> OpenChunk:
        if array not in self._chunks:
            shape = (arrays(self.manifest)[array], self.hidden_size)
            self._chunks[array] = open_chunks(self.place, array, shape, STORED[self.dtype])
        return self._chunks[array]

    def _marks(self, units: Iterable[int]) -> Marks:
        return read_marks(self.place, self.fingerprint, units)

    def _n_rows(self, unit: int, array: str) -> int:
        starts = self.layout.tokens if array == HIDDEN else self.layout.bounds
        return int(starts[unit + 1] - starts[unit])

    def _sizes(self, unit: int) -> dict[str, int]:
        """What every mark counts."""
        first, stop = self.layout.bounds[unit : unit + 2].tolist()
        items = np.count_nonzero((self.texts.text_of_item >= first) & (self.texts.text_of_item < stop))
        return {"items": int(items), "texts": stop - first, "tokens": self._n_rows(unit, HIDDEN)}

    def _check_holds(self, array: str) -> None:
        if array not in self.arrays:
            where = "" if self.boundary == FINAL else f" behind block {self.blocks}"
            raise UserError(f"The cache {self.place} holds {', '.join(self.arrays)}{where}, not {array}.")

    def _check_complete(self) -> None:
        missing = self.units_missing()
        if missing:
            raise UserError(
                f"The cache {self.place} is not complete: {len(missing)} of {self.n_units} units are missing.",
                "Complete it with the `plmrs preinfer` that began it.",
            )

    def _not_finite(self, as_given: bool) -> UserError:
        if as_given:
            reason = "are not finite"
            weaker = self.manifest["precision"] != "32"
            remedy = "Use --precision 32." if weaker else "Its weights may be damaged; use another PLM."
        else:
            reason = f"are too large for {self.dtype}"
            remedy = "Use --dtype float32." if self.dtype == "bfloat16" else "Use --dtype bfloat16 or --dtype float32."
        return UserError(f"States of {self.plm} {reason}.", remedy)


def open_cache(place: Path | str, memory: int = 0, verified: bool = True) -> Cache:
    """Open a cache; its states are checked when they are read.

    Args:
        place: Its folder, or a URL that fsspec knows, as `s3://bucket/….zarr`.
        memory: Bytes up to which an array is held in memory when it is first gathered from.
        verified: False trusts a local cache, and does not read all of an array before the first rows are gathered.

    Raises:
        UserError: it is no cache, another format's, its manifest is damaged, or the store cannot be reached.
    """
    if isinstance(place, str) and "://" in place:
        url = place.rstrip("/")
        return Cache(Path(url.partition("://")[2]), read_manifest(url), url, memory, verified)
    path = Path(place)
    if not path.is_dir():
        raise UserError(f"There is no cache at {path}.", "`plmrs inspect` lists caches.")
    return Cache(path, read_manifest(path), None, memory, verified)


def list_caches(workspace: Workspace, dataset: str | None = None) -> list[Cache]:
    """The caches of the workspace, or of one data set, the newest first; what cannot be opened is left out."""
    datasets = [workspace.caches(dataset)] if dataset else workspace.caches("any").parent.glob("*")
    found = []
    for path in (path for folder in datasets for path in folder.glob("*/*.zarr") if PARTIAL not in path.name):
        # What is damaged cannot be used; the command that names it says why.
        with suppress(UserError):
            found.append(open_cache(path))
    return sorted(found, key=lambda cache: (_time(cache.path), cache.path.name), reverse=True)


def _time(path: Path) -> float:
    """When a unit was done last."""
    done = path / DONE
    return (done if done.is_dir() else path).stat().st_mtime


def find_cache(
    workspace: Workspace,
    dataset: Dataset,
    plm_name: str | None,
    tokenized_len: int,
    precision: str | None = None,
    boundary: str = FINAL,
    dtype: str | None = None,
    keeps_tokens: bool = False,
) -> Cache | None:
    """The newest complete cache that fits a data set.

    Args:
        workspace: Where it is looked for.
        dataset: Whose items and texts it must hold, as they are now.
        plm_name: Whose states it must hold, with the weights they are now; None for any PLM's. A hub name is not looked
            up at the hub: a cache of it serves without network.
        tokenized_len: Tokens kept of a text.
        precision: Of weights and states, `32`, `bf16` or `fp16`; None for any.
        boundary: Its boundary's name; pooled states are at `final` alone.
        dtype: Of the numbers on disk; None for any.
        keeps_tokens: Whether it must hold the states of all tokens.

    Raises:
        UserError: `plm_name` is a folder whose files are damaged.
    """
    identity = known_identity(plm_name) if plm_name else None
    wanted = {
        "texts_fingerprint": dataset.texts_fingerprint,
        "tokenized_len": tokenized_len,
        "boundary": boundary,
        "precision": precision,
        "dtype": dtype,
        "plm_identity": identity,
        "plm": plm_name if identity is None else None,
        "keeps_tokens": keeps_tokens or None,
    }
    for cache in list_caches(workspace, dataset.name):
        held = cache.manifest
        if all(value is None or held[key] == value for key, value in wanted.items()) and cache.is_complete:
            return cache
    return None
