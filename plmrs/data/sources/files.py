"""Raw tables of any of the formats: chosen columns only, ids and texts as text, errors that name the file and the row.

Text files are read as they stand: no value is guessed to be a number or missing, so `0108775015` keeps its zero and an
item called `NA` its name.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from plmrs.errors import UserError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
KINDS = ".csv, .tsv, .parquet or .feather, or one of them with .gz behind it"
BLOCK = 16 << 20  # bytes; a row has to fit into one block

REPEATING = pa.dictionary(pa.int32(), pa.string())
"""The type of a text column whose values repeat: each is kept once."""


def kind_of(path: Path) -> str:
    """The format of a file by its name: `.csv`, `.tsv`, `.parquet` or `.feather`.

    Raises:
        UserError: there is no such file, it is empty, or its name has another ending.
    """
    if not path.is_file():
        near = get_close_matches(path.name, [other.name for other in path.parent.glob("*")], 1) if path.name else []
        raise UserError(
            f"There is no file {path}.",
            f"Did you mean {path.parent / near[0]}?" if near else "Check the path and its spelling.",
        )
    kind = Path(path.stem if path.suffix.lower() == ".gz" else path.name).suffix.lower()
    if kind not in {*SEPARATORS, ".parquet", ".feather"}:
        raise UserError(f"{path} has the ending of no table that plmrs reads.", f"Give it as {KINDS}.")
    if not path.stat().st_size:
        raise UserError(f"{path} is empty.", "Check how it was made.")
    return kind


def column_names(path: Path) -> list[str]:
    """The columns of a table with a header.

    Raises:
        UserError: the file is missing, empty, damaged or of another format.
    """
    kind = kind_of(path)
    with readable(path):
        if kind in SEPARATORS:
            with csv.open_csv(path, csv.ReadOptions(block_size=BLOCK, use_threads=False), _dialect(kind)) as reader:
                return list(reader.schema.names)
        if kind == ".parquet":
            return list(pq.read_schema(_random_access(path)).names)
        return list(pa.ipc.open_file(_random_access(path)).schema.names)


def read_columns(path: Path, names: Sequence[str], repeating: Sequence[str] = ()) -> pa.Table:
    """Some columns of a table with a header, in file order; columns of text files are text.

    Args:
        path: The file.
        names: The columns, all of them there.
        repeating: Those of which each value is to be kept once (dictionary-encoded), in text files.

    Raises:
        UserError: the file has no rows, is damaged, or is not UTF-8; the message names the row where it is known.
    """
    kind = kind_of(path)
    types = {name: REPEATING if name in repeating else pa.string() for name in names}
    with readable(path):
        if kind in SEPARATORS:
            table = read_text(path, _dialect(kind), csv.ConvertOptions(column_types=types, include_columns=list(names)))
            if kind == ".csv":
                _check_quotes(path, table.num_rows)
        elif kind == ".parquet":
            table = pq.read_table(_random_access(path), columns=list(names))
        else:
            table = pa.ipc.open_file(_random_access(path)).read_all().select(list(names))
    if not table.num_rows:
        raise UserError(f"{path} holds no rows.", "Check how it was made.")
    return table


def read_text(path: Path, dialect: Any, types: Any, names: Sequence[str] | None = None) -> pa.Table:
    """A delimited text file; `names` are its columns when it has no header.

    Raises:
        pyarrow.ArrowInvalid: a row is damaged.
    """
    try:
        return csv.read_csv(path, csv.ReadOptions(block_size=BLOCK, column_names=names), dialect, types)
    except pa.ArrowInvalid:
        # Only a reader with one thread knows the number of the row at fault.
        return csv.read_csv(
            path, csv.ReadOptions(block_size=BLOCK, column_names=names, use_threads=False), dialect, types
        )


def unquoted() -> Any:
    """The dialect of tab-separated files: a quote is a character like any other."""
    return csv.ParseOptions(delimiter="\t", quote_char=False)


def _dialect(kind: str) -> Any:
    return unquoted() if kind == ".tsv" else csv.ParseOptions(delimiter=",", newlines_in_values=True)


def _random_access(path: Path) -> Any:
    if path.suffix.lower() == ".gz":
        return pa.BufferReader(pa.input_stream(str(path), compression="gzip").read())
    return pa.memory_map(str(path))


def _check_quotes(path: Path, rows: int) -> None:
    """Refuse a quote that is never closed: the reader takes all that follows for one long value."""
    quotes, block = 0, b"-"
    with pa.input_stream(str(path), compression="detect") as file:
        while block:
            block = file.read(BLOCK)
            quotes += block.count(b'"')
    if quotes % 2:
        raise UserError(f"{path} has a quote that is never closed, in row {rows + 1} or before.", 'Write quotes as "".')


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what a reader says about a damaged file into one line.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        yield
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        if "Empty CSV" in reason:
            raise UserError(f"{path} is empty.", "Check how it was made.") from None
        if "UTF" in reason or isinstance(error, UnicodeDecodeError):
            raise UserError(f"{path} is not UTF-8: {reason}.", "Convert it to UTF-8, as iconv does.") from None
        raise UserError(f"{path} cannot be read: {reason}.", "Mend the file or check how it was made.") from None
    except OSError as error:
        reason = (error.strerror or str(error)).splitlines()[0]
        raise UserError(f"{path} cannot be read: {reason}.", "Check the file and its permissions.") from None
