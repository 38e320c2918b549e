"""The files of a cache, in a local folder or in a store that fsspec knows by its URL, as `s3://bucket/….zarr`.

A local chunk is mapped into memory rather than read, by Arrow: unlike NumPy's map it needs no open file, of which a
process may have no more than some hundreds. A chunk in a store is read whole, through zarr.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import google_crc32c
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from plmrs.cache.dtypes import all_finite
from plmrs.errors import UserError

Place: TypeAlias = Path | str
"""A local folder, or the URL of one in a store."""

OpenChunk: TypeAlias = Callable[[int, int | None], NDArray[Any]]
"""From a unit, and the checksum that its rows must have unless it is None, to the rows of its chunk [rows, H]."""

CHECKSUM = 4
"""Bytes of the CRC-32C that ends a chunk, the lowest first."""


class DamagedError(Exception):
    """Data that is not what was written; the message is the clause that says why."""


def checksum(values: NDArray[Any], before: int = 0) -> int:
    """The CRC-32C of an array's bytes, or of those of `before` and these."""
    return int(google_crc32c.extend(before, values.reshape(-1).view(np.uint8)))


def read_texts(place: Place, names: Sequence[str], folder: str = "") -> dict[str, str]:
    """The content of some text files of a folder; those that are absent are left out.

    Raises:
        UserError: the store cannot be reached.
    """
    if isinstance(place, Path):
        found = {}
        for name in names:
            # Another process may remove a cache, or a mark in it, at any moment.
            with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                found[name] = (place / folder / name).read_text("utf-8", "replace")
        return found
    system, root = _store(place)
    contents = {}
    paths = ["/".join(filter(None, (root, folder, name))) for name in names]
    for path, content in system.cat(paths, on_error="return").items():
        if isinstance(content, bytes):
            contents[path.rpartition("/")[2]] = content.decode("utf-8", "replace")
        elif not isinstance(content, FileNotFoundError):
            raise _unreachable(place, content) from content
    return contents


def list_names(place: Place, folder: str) -> list[str]:
    """The names of the files in a folder; none where it is absent.

    Raises:
        UserError: the store cannot be reached.
    """
    if isinstance(place, Path):
        with suppress(FileNotFoundError, NotADirectoryError):
            return [file.name for file in (place / folder).iterdir()]
        return []
    system, root = _store(place)
    try:
        return [path.rpartition("/")[2] for path in system.ls(f"{root}/{folder}", detail=False)]
    except FileNotFoundError:
        return []
    except Exception as error:
        raise _unreachable(place, error) from error


def open_chunks(place: Place, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> OpenChunk:
    """Open an array; what it gives of a unit is read-only.

    Args:
        place: The cache.
        name: The array's name.
        shape: Of a chunk. [rows, H], or [rows]
        dtype: Of its numbers.

    Returns:
        A function that raises `DamagedError` when a chunk is gone, cut or not the one that was written.

    Raises:
        UserError: the store cannot be reached, or its array has another shape.
    """
    if isinstance(place, Path):
        return _local_chunks(place / name, shape, dtype)
    return _stored_chunks(place, name, shape, dtype)


def _local_chunks(folder: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> OpenChunk:
    size = int(np.prod(shape)) * dtype.itemsize

    def chunk(unit: int, expected: int | None) -> NDArray[Any]:
        content = _mapped(folder.joinpath("c", str(unit), *["0"] * (len(shape) - 1)))
        if len(content) != size + CHECKSUM:
            raise DamagedError(f"its chunk has {len(content):,} bytes, not {size + CHECKSUM:,}")
        values, ending = content[:size], int.from_bytes(content[size:].tobytes(), "little")
        if expected is not None:
            if checksum(values) != ending:
                raise DamagedError("its checksum does not fit")
            if ending != expected:
                raise DamagedError("its chunk is not the one that was written")
        return values.view(dtype).reshape(shape)

    return chunk


def _mapped(file: Path) -> NDArray[np.uint8]:
    try:
        with pa.memory_map(str(file)) as mapped:
            return np.frombuffer(mapped.read_buffer(), np.uint8)
    except FileNotFoundError:
        raise DamagedError("its chunk is missing") from None
    except OSError as error:
        raise DamagedError(f"its chunk cannot be read: {error.strerror or error}") from None


def _stored_chunks(place: str, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> OpenChunk:
    import zarr
    from zarr.storage import FsspecStore

    try:
        array: Any = zarr.open_array(FsspecStore.from_url(f"{place}/{name}", read_only=True), mode="r", zarr_format=3)
    except Exception as error:  # Each kind of store has errors of its own.
        raise _unreachable(f"{place}/{name}", error) from error
    # Other codecs may unpack a few bytes to any number of them.
    if [type(codec).__name__ for codec in array.metadata.codecs] != ["BytesCodec", "Crc32cCodec"]:
        raise UserError(f"{place}/{name} does not fit the cache: it is packed in another way.")
    if (array.chunks, array.dtype) != (shape, dtype):
        raise UserError(f"{place}/{name} does not fit the cache: {array.dtype} in chunks of {array.chunks}.")

    def chunk(unit: int, expected: int | None) -> NDArray[Any]:
        try:
            values = np.asarray(array[unit * shape[0] : (unit + 1) * shape[0]])
        except ValueError as error:  # zarr raises it for a checksum that does not fit, and for a chunk that is cut.
            raise DamagedError("its checksum does not fit") from error
        except Exception as error:
            raise _unreachable(f"{place}/{name}", error) from error
        if expected is not None and checksum(values) != expected:
            missing = dtype.kind != "i" and not all_finite(values[:1])
            raise DamagedError("its chunk is missing" if missing else "its chunk is not the one that was written")
        values.flags.writeable = False
        return values

    return chunk


def _store(place: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    from fsspec.core import url_to_fs

    try:
        system, root = url_to_fs(place)
    except (ImportError, ValueError) as error:  # A package is missing, or fsspec knows no such kind of URL.
        raise _unreachable(place, error) from error
    return system, root.rstrip("/")


def _unreachable(place: str, error: Exception) -> UserError:
    return UserError(f"Cannot read {place}: {(str(error) or type(error).__name__).splitlines()[0]}")


def read_array(place: Place, name: str, n: int) -> NDArray[np.int32]:
    """An array of int32 that is one chunk, as the tables beside the states are. [n]

    Raises:
        DamagedError: it is gone or cut.
        UserError: the store cannot be reached.
    """
    return open_chunks(place, name, (n,), np.dtype("<i4"))(0, None)
