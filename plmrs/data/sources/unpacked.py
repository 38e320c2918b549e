"""How much a packed table may unpack to: a few kilobytes can be made to fill a disk or the memory."""

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from plmrs.errors import UserError

if TYPE_CHECKING:
    from plmrs.data.sources.raw import RawFile

HARMLESS = 256 << 20
"""Bytes that any packed table may unpack to …"""
TIMES = 200
"""… and the multiple of its own size that a larger one may: the densest logs come to some tens."""
PORTION = 16 << 20


def watched(stream: Any, file: "RawFile") -> Any:
    """The stream of a packed table, which ends in an error where it goes on for longer than any table would.

    Raises:
        UserError: once so much was read.
    """
    most = max(HARMLESS, TIMES * file.path.stat().st_size)
    n_bytes = 0

    def counted(block: Any) -> Any:
        nonlocal n_bytes
        n_bytes += len(block)
        if n_bytes > most:
            raise UserError(
                f"{file} unpacks to more than {n_bytes >> 20:,} MiB, over {TIMES} times its own size.",
                "Tables never do. Where you trust it, unpack it and name what was in it.",
            )
        return block

    return pa.TransformInputStream(stream, counted)


def read_whole(file: "RawFile") -> Any:
    """The bytes of a packed table that can only be read from its beginning, in memory.

    Raises:
        UserError: they would take more than half of the memory that is free.
    """
    import psutil

    most = psutil.virtual_memory().available // 2
    stream, portions, n_bytes = file.open(), [], 0
    while portion := stream.read(PORTION):
        portions.append(portion)
        n_bytes += len(portion)
        if n_bytes > most:
            raise UserError(
                f"{file} unpacks to more than {most >> 20:,} MiB, half of the memory that is free.",
                "Unpack it and name what was in it: that is read a part at a time.",
            )
    return pa.py_buffer(b"".join(portions))
