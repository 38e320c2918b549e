"""Writing a chunk file as zarr does, but block by block: rounded, checked and written without a copy of the unit."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plmrs.cache.dtypes import STORED, all_finite, fill_value, to_stored
from plmrs.cache.files import CHECKSUM, checksum
from plmrs.errors import UserError
from plmrs.workspace import atomic_file

BLOCK = 1 << 18
"""Numbers written in one go."""


class NotFiniteError(Exception):
    """A number cannot be kept: as it was given, or because the dtype is too small for it."""

    def __init__(self, as_given: bool) -> None:
        super().__init__("A number is not finite.")
        self.as_given = as_given


def write_chunk(file: Path, values: NDArray[Any], rows: int, dtype: str) -> int:
    """Write a chunk whole or not at all; the CRC-32C of its rows.

    Args:
        file: The chunk's file.
        values: The first rows of it, what they are rounded from. [up to rows, H]
        rows: Rows of the chunk; those behind `values` become NaN.
        dtype: Of the numbers on disk.

    Raises:
        NotFiniteError: a number is, or becomes, infinite or NaN.
        OSError: the disk is full or cannot be written.
    """
    width = values.shape[1]
    step = max(1, BLOCK // width)
    crc = 0
    with atomic_file(file) as temporary, temporary.open("wb") as content:
        for block in _blocks(values, rows, step, dtype):
            crc = checksum(block, crc)
            content.write(block.data)
        content.write(crc.to_bytes(CHECKSUM, "little"))
    return crc


def _blocks(values: NDArray[Any], rows: int, step: int, dtype: str) -> Iterator[NDArray[Any]]:
    for start in range(0, len(values), step):
        given = values[start : start + step]
        block = to_stored(given, dtype)
        if not all_finite(block):
            raise NotFiniteError(as_given=not all_finite(np.ascontiguousarray(given)))
        yield block
    left = rows - len(values)
    filling = np.full((min(step, left), values.shape[1]), fill_value(dtype), STORED[dtype])
    for start in range(0, left, step):
        yield filling[: left - start]


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write into one line for the user; what was finished before stays."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"Cannot write the cache {path}: {error.strerror or error}.",
            "Free space or mend its permissions, then run the same command again: finished units are kept.",
        ) from error
