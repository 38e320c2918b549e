"""Raw tables of any of the formats, a batch of rows at a time: chosen columns only, ids and texts as text.

Text files are read as they stand: no value is guessed to be a number or missing, so `0108775015` keeps its zero and an
item called `NA` its name. Errors name the file and, where it is known, the row.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from plmrs.data.sources.damage import no_rows, readable
from plmrs.data.sources.delimited import dialect_of, text_batches, text_names
from plmrs.data.sources.json_lines import json_batches, json_names
from plmrs.data.sources.raw import FEATHER, JSON, SEPARATORS, RawFile
from plmrs.data.sources.unpacked import read_whole
from plmrs.errors import UserError

ROWS = 1 << 17
"""Rows of a batch from a binary table."""
REPEATING = pa.dictionary(pa.int32(), pa.string())
"""The type of a text column whose values repeat: of a batch each is kept once."""


def column_names(file: RawFile) -> list[str]:
    """The columns of a table.

    Raises:
        UserError: the file is empty or damaged.
    """
    if file.header is not None:
        return list(file.header)
    with readable(file):
        if file.kind in SEPARATORS:
            return text_names(file)
        if file.kind in JSON:
            return json_names(file)
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
        yield from text_batches(file, dialect_of(file.kind), types, file.header)
    elif file.kind in JSON:
        with readable(file):
            yield from map(_sound, json_batches(file, names))
    elif file.kind in FEATHER:
        with readable(file):
            reader = pa.ipc.open_file(_random_access(file))
            for number in range(reader.num_record_batches):
                yield from _sliced(_sound(reader.get_batch(number).select(list(names))))
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


def _sound(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch whose texts are UTF-8 and whose places lie within it: Arrow takes both on trust from these formats."""
    batch.validate(full=True)
    return batch


def _random_access(file: RawFile, path: Path | None = None) -> Any:
    # What is compressed or in a zip can only be read from its beginning.
    if file.compression or file.member:
        return pa.BufferReader(read_whole(file))
    return pa.memory_map(str(path or file.path))


def _parquet_batches(file: RawFile, path: Path, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    partitions = _partitions(file, path)
    stored = [name for name in names if name not in partitions]
    table = pq.ParquetFile(_random_access(file, path))
    for name in stored:
        if name not in table.schema_arrow.names:
            raise UserError(f"{path} has no column {name}, which others in {file} have.", "Check how it was made.")
    for batch in map(_sound, table.iter_batches(ROWS, columns=stored)):
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
