"""Gathering rows of many mapped chunks as one array is indexed, at the same speed.

A loop over chunks or rows costs Python's time for each. But every row that is mapped has an address, so that one array
whose first row is the lowest mapped one, and whose rows are as far apart as all addresses allow, has each at some
place: the addresses of 1,280 rows are one index.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from plmrs.cache.layout import Layout


class Reader:
    """One array of a complete cache, opened.

    Args:
        rows: Gives the rows of a unit's texts, without what fills up its chunk. [rows, H]
        width: H.
        dtype: Of its numbers.
        layout: The units.
        length: Rows of each text: its tokens, or 1 in an array of pooled states. [texts]
        text_of_item: The text of each item. [items]
        memory: All rows are held in memory, in one piece, when they have no more bytes.
        keep: Whether what `rows` gives is kept otherwise, as mapped chunks are; else it is asked for again.
    """

    def __init__(
        self,
        rows: Callable[[int], NDArray[Any]],
        width: int,
        dtype: np.dtype[Any],
        layout: Layout,
        length: NDArray[np.int64],
        text_of_item: NDArray[np.int32],
        memory: int,
        keep: bool,
    ) -> None:
        self._length = length
        self._text_of_item = text_of_item
        self._unit = np.repeat(np.arange(layout.n_units), np.diff(layout.bounds))  # [texts]
        before = np.cumsum(length) - length  # [texts] rows of all texts before
        starts = before[layout.bounds[:-1]]  # [units]
        self._first = before - starts[self._unit]  # [texts] within the unit
        self._width, self._dtype = width, dtype
        self._windows: NDArray[Any] | None = None
        n_rows = int(length.sum())
        # The pieces have to live as long as the windows, whose base is but one of them.
        if n_rows * width * dtype.itemsize <= memory:
            whole = np.empty((n_rows, width), dtype)
            for unit, start in enumerate(starts.tolist()):
                part = rows(unit)
                whole[start : start + len(part)] = part
            self._pieces = [whole]
            self._windows, _, self._step = _windows([whole])
            self._place = before
        elif keep:
            self._pieces = [rows(unit) for unit in range(layout.n_units)]
            self._windows, places, self._step = _windows(self._pieces)
            self._place = places[self._unit] + self._step * self._first  # [texts]
        else:
            self._rows = rows

    def gather(self, items: NDArray[np.integer[Any]]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The rows of some items, one item's after the other's, in an array of their own.

        Args:
            items: Their numbers, 1…n. [n]

        Returns:
            The rows [rows, H], and how many each item has [n].
        """
        if len(items) and not 1 <= int(items.min()) <= int(items.max()) <= len(self._text_of_item):
            raise IndexError(f"Items are numbered from 1 to {len(self._text_of_item)}.")
        text = self._text_of_item[items - 1]
        length = self._length[text]
        inner = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)  # [rows] within its text
        if self._windows is None:
            return self._read(np.repeat(self._unit[text], length), np.repeat(self._first[text], length) + inner), length
        return self._windows[np.repeat(self._place[text], length) + self._step * inner], length

    def _read(self, unit: NDArray[np.int64], row: NDArray[np.int64]) -> NDArray[Any]:
        """Some rows of units [rows], a unit at a time, each of which is let go again."""
        values = np.empty((len(unit), self._width), self._dtype)
        for each in np.unique(unit).tolist():
            here = unit == each
            values[here] = self._rows(each)[row[here]]
        return values


def _windows(pieces: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[np.int64], int]:
    """All rows of some arrays [rows, H] as rows of one, wherever in memory the arrays lie; it is read-only.

    Returns:
        The one array, of which only rows that are rows of the pieces may be read; where in it the first row of each
        piece is [pieces]; and how many of its rows a piece's row is behind the one before.
    """
    address = np.array([piece.ctypes.data for piece in pieces], np.int64)
    lowest = pieces[int(address.argmin())]
    row = lowest.shape[1] * lowest.itemsize
    apart = int(np.gcd.reduce(address - address.min(), initial=row))
    places, step = (address - address.min()) // apart, row // apart
    n = max(int(place) + step * len(piece) for place, piece in zip(places, pieces, strict=True))
    windows = as_strided(lowest, (n, lowest.shape[1]), (apart, lowest.itemsize), writeable=False)
    return windows, places, step
