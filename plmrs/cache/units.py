"""The units of a cache, written, read and checked one at a time.

A unit of work is a run of texts that fills exactly one chunk of each array, so that no two processes ever write to one
chunk, and what is lost with a killed process is a unit at most.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plmrs.cache.dtypes import STORED, all_finite
from plmrs.cache.facts import Facts
from plmrs.cache.files import DamagedError, OpenChunk, open_chunks
from plmrs.cache.integrity import Damage
from plmrs.cache.manifest import FINAL, HIDDEN, arrays
from plmrs.cache.marks import DONE, Mark, Marks, mark_done
from plmrs.cache.write import NotFiniteError, write_chunk, writing
from plmrs.errors import UserError


@dataclass(frozen=True)
class Units(Facts):
    """A cache as those see it that make and check it."""

    _chunks: dict[str, OpenChunk] = field(default_factory=dict, init=False, repr=False, compare=False)

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

    def damage(self, unit: int, array: str) -> Damage | None:
        """What is wrong with a unit that should be done; None when its rows are those that were written."""
        try:
            self._sound_rows(unit, array, self._marks([unit]))
        except DamagedError as error:
            return Damage(unit, array, str(error))
        return None

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

    def _not_finite(self, as_given: bool) -> UserError:
        if as_given:
            reason = "are not finite"
            weaker = self.manifest["precision"] != "32"
            remedy = "Use --precision 32." if weaker else "Its weights may be damaged; use another PLM."
        else:
            reason = f"are too large for {self.dtype}"
            remedy = "Use --dtype float32." if self.dtype == "bfloat16" else "Use --dtype bfloat16 or --dtype float32."
        return UserError(f"States of {self.plm} {reason}.", remedy)
