"""Raw tables as they lie on disk: plain, compressed, in a zip, or a folder of Parquet files."""

import re
import struct
import zipfile
from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pyarrow as pa

from plmrs.data.sources.separated import as_tabs
from plmrs.data.sources.unpacked import watched
from plmrs.errors import UserError

SEPARATORS = {".csv": ",", ".tsv": "\t", ".inter": "\t", ".item": "\t"}
JSON = (".jsonl", ".json", ".ndjson")
PARQUET, FEATHER = (".parquet", ".pq"), (".feather", ".arrow")
COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
KINDS = (
    ".csv, .tsv, .jsonl, .parquet or .feather, or one of them with .gz, .zst or .zip behind it, or a folder of Parquet"
    " files"
)
SHOWN = 8
"""Names that a message lists at most."""
BLOCK = 4 << 20  # bytes; a row has to fit into one block, and the distinct ids of a block into a processor's cache


@dataclass(frozen=True)
class RawFile:
    """A table as it lies on disk: a file, a file within a zip, or a folder of Parquet files.

    Attributes:
        path: The file, the zip, or the folder.
        member: The file's name within the zip.
        header: The names of its columns, when it is a text file without a header.
        separator: What stands between its columns, when it is a text file whose name does not tell.
        encoding: Of such a file.
    """

    path: Path
    member: str | None = None
    header: tuple[str, ...] | None = None
    separator: str | None = None
    encoding: str = "utf-8"

    def __str__(self) -> str:
        return f"{self.path}/{self.member}" if self.member else str(self.path)

    @property
    def name(self) -> str:
        """The file's own name."""
        return Path(self.member or self.path).name

    @property
    def compression(self) -> str | None:
        """How it is compressed, by the end of its name."""
        return COMPRESSED.get(Path(self.name).suffix.lower())

    @property
    def kind(self) -> str:
        """Its format: the end of its name, compression left out, in lower case."""
        if self.separator is not None:
            return ".tsv"
        name = Path(self.name)
        return ".parquet" if self.path.is_dir() else Path(name.stem if self.compression else name).suffix.lower()

    @property
    def paths(self) -> list[Path]:
        """The files whose bytes decide what is read."""
        return parquet_parts(self.path) if self.path.is_dir() else [self.path]

    def open(self) -> Any:
        """Its bytes as a stream, decompressed; tab-separated UTF-8 where a separator is named."""
        stream = self._stored()
        return stream if self.separator is None else as_tabs(stream, self.separator, self.encoding)

    def _stored(self) -> Any:
        if self.member is not None:
            archive = zipfile.ZipFile(pa.OSFile(str(self.path)))  # closed when nothing reads from it any more
            stream = pa.PythonFile(archive.open(self.member), "r")
            return watched(pa.CompressedInputStream(stream, self.compression) if self.compression else stream, self)
        stream = pa.input_stream(str(self.path), compression=self.compression)
        return watched(stream, self) if self.compression else stream


def raw_file(path: Path) -> RawFile:
    """The table at `path`.

    Raises:
        UserError: there is no such file, it is empty, or it is none of the formats.
    """
    if path.is_dir():
        if not parquet_parts(path):
            raise UserError(f"The folder {path} holds no Parquet files.", f"Name a table: {KINDS}.")
        return RawFile(path)
    if not path.is_file():
        near = get_close_matches(path.name, [other.name for other in path.parent.glob("*")], 1) if path.name else []
        raise UserError(
            f"There is no file {path}.",
            f"Did you mean {path.parent / near[0]}?" if near else "Check the path and its spelling.",
        )
    if not path.stat().st_size:
        raise UserError(f"{path} is empty.", "Check how it was made.")
    if path.suffix.lower() == ".zip":
        tables = [file for file in zipped(path) if is_table(file.kind)]
        if len(tables) != 1:
            held = ", ".join(file.name for file in tables[:SHOWN]) or "none"
            held += f" and {len(tables) - SHOWN:,} more" if len(tables) > SHOWN else ""
            raise UserError(f"{path} should hold one table, and holds {held}.", "Unzip it and name the file.")
        return tables[0]
    file = RawFile(path)
    if not is_table(file.kind):
        raise UserError(f"{path} has the ending of no table that plmrs reads.", f"Give it as {KINDS}.")
    return file


def is_table(kind: str) -> bool:
    """Whether a file of this kind is a table that plmrs reads."""
    return kind in (*SEPARATORS, *JSON, *PARQUET, *FEATHER)


def zipped(path: Path) -> list[RawFile]:
    """The files in a zip, those that systems add left out.

    Raises:
        UserError: it is no zip, it is cut, or one name stands in it twice.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, struct.error):
        raise UserError(f"{path} is no zip, or only a part of one.", "Download it again.") from None
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise UserError(f"{path} holds two files {twice}.", "Unzip it and keep the right one.")
    return [RawFile(path, name) for name in names if not re.search(r"(^|/)(__MACOSX/|\._|\.DS_Store)", name)]


def parquet_parts(folder: Path) -> list[Path]:
    """The Parquet files in a folder and below it, in the natural order of their names (part 2 before part 10).

    What begins with a dot or an underscore is left out, as those who write such folders mean it.
    """
    parts = []
    for path in folder.rglob("*"):
        below = path.relative_to(folder).parts
        if path.suffix.lower() in PARQUET and path.is_file() and not any(part[0] in "._" for part in below):
            parts.append(path)
    return sorted(parts, key=lambda path: (_natural(path.as_posix()), path))


_WORDS = re.compile(r"(\d*)(\D+|$)")


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(number) if number else -1, letters) for number, letters in _WORDS.findall(name)]
