"""States on disk: a Zarr v3 group a cache, made of units and gathered from; torch is not needed.

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

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plmrs.cache.dtypes import STORED, to_float32
from plmrs.cache.manifest import HIDDEN
from plmrs.cache.read import Reader
from plmrs.cache.units import Units
from plmrs.errors import UserError


@dataclass(frozen=True)
class Cache(Units):
    """The states of one PLM at one boundary, over the items of one data set.

    Attributes:
        path: Its folder, a Zarr group.
        manifest: Data set, PLM, options and format it was made with.
        url: Where it lies when that is no local folder; it is read only then, and `path` serves for its name.
        memory: Bytes up to which an array is held in memory when it is first gathered from.
        verified: Whether an array is read and compared with its checksums when it is first gathered from.
    """

    memory: int = field(default=0, compare=False)
    verified: bool = field(default=True, compare=False)
    _readers: dict[str, Reader] = field(default_factory=dict, init=False, repr=False, compare=False)
    _compared: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """What another process is sent: nothing that was read, but that it was compared."""
        kept = {name: getattr(self, name) for name in ("path", "manifest", "url", "memory", "verified", "_compared")}
        return kept | {"_readers": {}, "_chunks": {}}

    def write_unit(
        self,
        unit: int,
        pooled: Mapping[str, NDArray[Any]] | None = None,
        hidden: NDArray[Any] | None = None,
        counts: Mapping[str, float] | None = None,
    ) -> None:
        """Write a unit as `Units.write_unit` does; what was opened for gathering is opened and compared anew."""
        self._readers.clear()
        self._compared.clear()
        super().write_unit(unit, pooled, hidden, counts)

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

    def _check_complete(self) -> None:
        missing = self.units_missing()
        if missing:
            raise UserError(
                f"The cache {self.place} is not complete: {len(missing)} of {self.n_units} units are missing.",
                "Complete it with the `plmrs preinfer` that began it.",
            )
