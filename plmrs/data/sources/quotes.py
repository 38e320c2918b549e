"""Quotes in comma-separated files that open and never close: all that follows one would be taken for its value."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import TextIOWrapper
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from plmrs.data.sources import raw
from plmrs.data.sources.damage import readable
from plmrs.data.sources.raw import RawFile
from plmrs.errors import UserError

_BEFORE_A_QUOTE = np.isin(np.arange(256), list(b',\n\r"'))


class Quotes:
    """Looks at the quotes of a stream on their way to the reader.

    Attributes:
        any: There are some.
        odd: Their number is odd, so that one is open unless it is a part of its value, as in `12" vinyl`.
        stray: There are such parts of values, so that the number says nothing.
    """

    def __init__(self) -> None:
        self.any = self.odd = self.stray = False
        self._last = b"\n"

    def seen(self, stream: Any) -> Any:
        """The stream, looked at."""

        def look(block: Any) -> Any:
            data = bytes(block)
            if b'"' in data:
                text = np.frombuffer(self._last + data, np.uint8)
                behind = np.flatnonzero(text[1:] == ord('"'))
                opening = behind[int(self.odd) :: 2]  # or the second one of "", which stands for one
                self.stray |= not _BEFORE_A_QUOTE[text[opening]].all()
                self.odd ^= len(behind) % 2 == 1
                self.any = True
            self._last = data[-1:]
            return block

        return pa.TransformInputStream(stream, look)


def unclosed_row(file: RawFile) -> int:
    """The row that a quote holds open until the file ends; 0 without one. Finding it takes a slow reader."""
    rows, end = 0, "end of the file"
    with readable(file), _values_of_a_block(), TextIOWrapper(file.open(), "utf-8", "replace", newline="") as text:
        # A line may be as long as the file, whose quote then is in the first block of it.
        lines = iter(partial(text.readline, raw.BLOCK), "")
        try:
            for row in csv.reader(chain(lines, [end])):
                if row == [end]:
                    return 0
                rows += 1
        except csv.Error:  # a value of more than a block, so that its quote must be open
            return rows + 1
    return rows


@contextmanager
def _values_of_a_block() -> Iterator[None]:
    """Let Python's reader take values as long as a block can hold."""
    before = csv.field_size_limit(raw.BLOCK)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def unclosed_error(file: RawFile, row: int) -> UserError:
    """The error for a quote that `unclosed_row` found."""
    return UserError(f"{file} has a quote that is never closed, in row {row} or before.", 'Write quotes as "".')
