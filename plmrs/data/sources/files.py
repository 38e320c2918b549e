"""Raw tables of any of the formats, a batch of rows at a time: chosen columns only, ids and texts as text.

Text files are read as they stand: no value is guessed to be a number or missing, so `0108775015` keeps its zero and an
item called `NA` its name. Errors name the file and, where it is known, the row.
"""

import csv as python_csv
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq
from pyarrow import csv

from plmrs.errors import UserError

SEPARATORS = {".csv": ",", ".tsv": "\t", ".inter": "\t", ".item": "\t"}
JSON = (".jsonl", ".json", ".ndjson")
PARQUET, FEATHER = (".parquet", ".pq"), (".feather", ".arrow")
COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
KINDS = (
    ".csv, .tsv, .jsonl, .parquet or .feather, or one of them with .gz, .zst or .zip behind it, or a folder of Parquet"
    " files"
)
BLOCK = 4 << 20  # bytes; a row has to fit into one block, and the distinct ids of a block into a processor's cache
ROWS = 1 << 17
"""Rows of a batch from a binary table."""
REPEATING = pa.dictionary(pa.int32(), pa.string())
"""The type of a text column whose values repeat: of a batch each is kept once."""


@dataclass(frozen=True)
class RawFile:
    """A table as it lies on disk: a file, a file within a zip, or a folder of Parquet files.

    Attributes:
        path: The file, the zip, or the folder.
        member: The file's name within the zip.
        header: The names of its columns, when it is a text file without a header.
    """

    path: Path
    member: str | None = None
    header: tuple[str, ...] | None = None

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
        name = Path(self.name)
        return ".parquet" if self.path.is_dir() else Path(name.stem if self.compression else name).suffix.lower()

    @property
    def paths(self) -> list[Path]:
        """The files whose bytes decide what is read."""
        return parquet_parts(self.path) if self.path.is_dir() else [self.path]

    def open(self) -> Any:
        """Its bytes as a stream, decompressed."""
        if self.member is not None:
            archive = zipfile.ZipFile(pa.OSFile(str(self.path)))  # closed when nothing reads from it any more
            stream = pa.PythonFile(archive.open(self.member), "r")
            return pa.CompressedInputStream(stream, self.compression) if self.compression else stream
        return pa.input_stream(str(self.path), compression=self.compression)


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
            held = ", ".join(file.name for file in tables) or "none"
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
        UserError: it is no zip, or it is cut.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError):
        raise UserError(f"{path} is no zip, or only a part of one.", "Download it again.") from None
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


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(number) if number else -1, letters) for number, letters in _WORDS.findall(name)]


_WORDS = re.compile(r"(\d*)(\D+|$)")


def column_names(file: RawFile) -> list[str]:
    """The columns of a table.

    Raises:
        UserError: the file is empty or damaged.
    """
    if file.header is not None:
        return list(file.header)
    with readable(file):
        if file.kind in SEPARATORS:
            return _text_names(file)
        if file.kind in JSON:
            return list(_json_schema(file).names)
        if file.kind in FEATHER:
            return list(pa.ipc.open_file(_random_access(file)).schema.names)
        first = file.paths[0]
        stored, partitions = pq.read_schema(_random_access(file, first)).names, _partitions(file, first)
        return [*(name for name in stored if name not in partitions), *partitions]


def batches(file: RawFile, names: Sequence[str], repeating: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
    """Some columns of a table, in file order, a batch of rows at a time; those of text files are text.

    Args:
        file: The table.
        names: The columns, all of them there.
        repeating: Those whose values repeat; text files give them dictionary-encoded, at less cost.

    Raises:
        UserError: the file is damaged or not UTF-8; the message names the row where it is known.
    """
    if file.kind in SEPARATORS:
        kinds = {name: REPEATING if name in repeating else pa.string() for name in names}
        types = csv.ConvertOptions(column_types=kinds, include_columns=list(names))
        yield from text_batches(file, _dialect(file.kind), types, file.header)
    elif file.kind in JSON:
        with readable(file):
            known = _json_schema(file)
            schema = pa.schema([known.field(name) for name in names])
            options = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
            for batch in pj.open_json(file.open(), pj.ReadOptions(block_size=BLOCK), options):
                yield batch.select(list(names))
    elif file.kind in FEATHER:
        with readable(file):
            reader = pa.ipc.open_file(_random_access(file))
            for number in range(reader.num_record_batches):
                yield from _sliced(reader.get_batch(number).select(list(names)))
    else:
        for path in file.paths:
            with readable(file, path):
                yield from _parquet_batches(file, path, names)


def read_columns(file: RawFile, names: Sequence[str]) -> pa.Table:
    """Some columns of a table, whole.

    Raises:
        UserError: the file holds no rows, is damaged, or is not UTF-8.
    """
    read = list(batches(file, names))
    table = pa.Table.from_batches(_one_schema(read)) if read else None
    if table is None or not table.num_rows:
        raise no_rows(file)
    return table


def text_batches(
    file: RawFile, dialect: Any, types: Any, names: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The blocks of a delimited text file; `names` are its columns when it has no header.

    Raises:
        UserError: the file holds no rows, is damaged or not UTF-8; the message names the row where it is known.
    """
    quotes = _Quotes()
    rows = 0
    with readable(file):
        source = quotes.seen(file.open()) if dialect.quote_char else file.open()
        try:
            with csv.open_csv(source, _options(True, names), dialect, types) as blocks:
                for block in blocks:
                    rows += len(block)
                    yield block
        except pa.ArrowInvalid:
            if quotes.any and (row := _unclosed(file)):  # The reader took all that follows the quote for one value.
                raise _unclosed_error(file, row) from None
            # Only a reader with one thread knows the number of the row at fault.
            with csv.open_csv(file.open(), _options(False, names), dialect, types) as blocks:
                for _ in blocks:
                    pass
            raise
    if not rows:
        raise no_rows(file)
    if (quotes.odd or quotes.stray) and (row := _unclosed(file)):
        raise _unclosed_error(file, row)


def unquoted() -> Any:
    """The dialect of tab-separated files: a quote is a character like any other."""
    return csv.ParseOptions(delimiter="\t", quote_char=False)


_BEFORE_A_QUOTE = np.isin(np.arange(256), list(b',\n\r"'))


class _Quotes:
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


def _text_names(file: RawFile) -> list[str]:
    dialect = _dialect(file.kind)
    try:
        with csv.open_csv(file.open(), _options(False), dialect) as reader:
            return list(reader.schema.names)
    except pa.ArrowInvalid:
        if dialect.quote_char and (row := _unclosed(file)):
            raise _unclosed_error(file, row) from None
        raise


def _unclosed(file: RawFile) -> int:
    """The row that a quote holds open until the file ends; 0 without one. Finding it takes a slow reader."""
    rows, end = 0, "end of the file"
    with readable(file), suppress(python_csv.Error), TextIOWrapper(file.open(), "utf-8", "replace", newline="") as text:
        for row in python_csv.reader(chain(text, [end])):
            if row == [end]:
                return 0
            rows += 1
        return rows
    return rows + 1  # an error: a value so long that its quote must be open


def _unclosed_error(file: RawFile, row: int) -> UserError:
    return UserError(f"{file} has a quote that is never closed, in row {row} or before.", 'Write quotes as "".')


def no_rows(file: RawFile) -> UserError:
    """The error for a table that holds nothing but, at most, its header."""
    return UserError(f"{file} holds no rows.", "Check how it was made.")


def _options(threads: bool, names: Sequence[str] | None = None) -> Any:
    return csv.ReadOptions(block_size=BLOCK, use_threads=threads, column_names=names)


def _dialect(kind: str) -> Any:
    return csv.ParseOptions(delimiter=",", newlines_in_values=True) if kind == ".csv" else unquoted()


def _json_schema(file: RawFile) -> Any:
    first = pj.open_json(file.open(), pj.ReadOptions(block_size=BLOCK)).schema
    return pa.schema([(field.name, _as_written(field.type)) for field in first])


def _as_written(kind: Any) -> Any:
    """The type that leaves JSON's values as they stand: a text that looks like a date is no less a text.

    What the first block has no value of is likeliest a text too.
    """
    if pa.types.is_list(kind):
        return pa.list_(_as_written(kind.value_type))
    return pa.string() if pa.types.is_null(kind) or pa.types.is_timestamp(kind) else kind


def _random_access(file: RawFile, path: Path | None = None) -> Any:
    # What is compressed or in a zip can only be read from its beginning.
    if file.compression or file.member:
        return pa.BufferReader(file.open().read())
    return pa.memory_map(str(path or file.path))


def _parquet_batches(file: RawFile, path: Path, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    partitions = _partitions(file, path)
    stored = [name for name in names if name not in partitions]
    table = pq.ParquetFile(_random_access(file, path))
    for name in stored:
        if name not in table.schema_arrow.names:
            raise UserError(f"{path} has no column {name}, which others in {file} have.", "Check how it was made.")
    for batch in table.iter_batches(ROWS, columns=stored):
        columns = dict(zip(stored, batch.columns, strict=True))
        for name, value in partitions.items():
            columns[name] = pa.array([value], pa.string()).take(pa.nulls(len(batch), pa.int32()).fill_null(0))
        yield pa.RecordBatch.from_pydict({name: columns[name] for name in names})


def _partitions(file: RawFile, path: Path) -> dict[str, str | None]:
    """The columns that stand in the names of a file's folders, as in `day=2024-05-01/part-0.parquet`, as text."""
    if not file.path.is_dir():
        return {}
    pairs = [part.partition("=") for part in path.relative_to(file.path).parts[:-1] if "=" in part]
    return {name: None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value) for name, _, value in pairs}


def _sliced(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A batch in pieces of at most `ROWS` rows."""
    for start in range(0, len(batch), ROWS):
        yield batch.slice(start, ROWS)


def _one_schema(read: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """Batches as text where their types differ, as they may from one Parquet file to the next."""
    if all(batch.schema.equals(read[0].schema) for batch in read):
        return read
    schema = pa.schema([(name, pa.string()) for name in read[0].schema.names])
    return [batch.cast(schema) for batch in read]


@contextmanager
def readable(file: RawFile, path: Path | None = None) -> Iterator[None]:
    """Turn what a reader says about a damaged file into one line.

    Raises:
        UserError: the file cannot be read.
    """
    place = path or file
    try:
        yield
    except (pa.ArrowInvalid, UnicodeDecodeError, zipfile.BadZipFile, EOFError, zlib.error, RuntimeError) as error:
        # A RuntimeError: a zip that is locked, or packed by a method that Python does not know.
        reason = (str(error) or "it ends too early").splitlines()[0].rstrip(".")
        if "straddling" in reason:
            raise UserError(
                f"{place} has a row of more than {BLOCK:,} bytes.", "Shorten it, or check its quotes and line ends."
            ) from None
        if "Empty CSV" in reason or "Empty JSON" in reason:
            raise UserError(f"{place} is empty.", "Check how it was made.") from None
        if "UTF" in reason or isinstance(error, UnicodeDecodeError):
            raise UserError(f"{place} is not UTF-8: {reason}.", "Convert it to UTF-8, as iconv does.") from None
        raise UserError(f"{place} cannot be read: {reason}.", "Mend the file or check how it was made.") from None
    except OSError as error:
        reason = (error.strerror or str(error)).splitlines()[0].rstrip(".")
        remedy = "Check the file and its permissions." if error.errno else "Mend the file or check how it was made."
        raise UserError(f"{place} cannot be read: {reason}.", remedy) from None
