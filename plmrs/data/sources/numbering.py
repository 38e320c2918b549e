"""Strings to numbers, a batch at a time: each distinct string is kept once, in the order in which they first come."""

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

LEAST_BYTES = 256 << 20
"""Strings that wait to be merged are this many bytes at least, so that merging does not take most of the time …"""


class Numbering:
    """Numbers strings of batch after batch; memory goes with the distinct ones.

    Merging a batch with what is known runs beside the reading of the next one.
    """

    def __init__(self) -> None:
        self._values = pa.array([], pa.string())
        self._codes: list[NDArray[np.int32]] = []
        self._waiting: list[pa.DictionaryArray] = []
        self._bytes = 0
        self._worker = ThreadPoolExecutor(1)
        self._merging: Future[None] | None = None
        self._flushed = 0

    def add(self, codes: NDArray[np.int32], values: pa.StringArray) -> None:
        """Take a batch: `codes` [rows] are rows of `values`."""
        self._waiting.append(pa.DictionaryArray.from_arrays(pa.array(codes), values))
        self._bytes += values.nbytes
        # … and as many as are known already: then all of it is merged a few times only.
        if self._bytes > max(LEAST_BYTES, self._values.nbytes):
            self.merge_waiting()

    def flush(self) -> NDArray[np.int32]:
        """The numbers of the rows added since the last flush, at once; `finish` gives those of all. [rows]"""
        self.merge_waiting().result()
        new = self._codes[self._flushed :]
        self._flushed = len(self._codes)
        return np.concatenate([np.zeros(0, np.int32), *new])

    def finish(self) -> tuple[NDArray[np.int32], pa.StringArray]:
        """The number of every row [rows], and the distinct strings that they number [values]."""
        self.merge_waiting().result()
        self._worker.shutdown()
        return np.concatenate([np.zeros(0, np.int32), *self._codes]), self._values

    def merge_waiting(self) -> Future[None]:
        """Begin to merge what was added."""
        if self._merging is not None:
            self._merging.result()
        self._merging = self._worker.submit(self._merge, self._waiting)
        self._waiting, self._bytes = [], 0
        return self._merging

    def _merge(self, waiting: list[pa.DictionaryArray]) -> None:
        known = pa.DictionaryArray.from_arrays(pa.array([], pa.int32()), self._values)
        # The strings known already come first, so the numbers given before stay right.
        merged = pa.chunked_array([known, *waiting]).unify_dictionaries()
        self._values = merged.chunk(0).dictionary
        self._codes += [chunk.indices.to_numpy() for chunk in merged.chunks[1:]]


def encoded(column: pa.Array) -> tuple[NDArray[np.int32], pa.Array]:
    """The codes [rows] of a column and the values [values] they number; a missing value has code -1.

    The values are distinct, unless the column comes with a dictionary of its own in which some repeat.
    """
    known = column.dictionary_encode()
    if known.dictionary.null_count:
        known = known.dictionary_decode().dictionary_encode()
    return pc.fill_null(known.indices.cast(pa.int32()), -1).to_numpy(), known.dictionary


def first_rows(codes: NDArray[np.int32], n: int) -> NDArray[np.int64]:
    """The row [n] in which each of the codes 0…n-1 stands first; every code occurs.

    Example: `first_rows([1, 0, 1], 2)` is `[1, 0]`.
    """
    first = np.zeros(n, np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # of several assignments to one place the last one stays
    return first
