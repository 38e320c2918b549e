"""Recommendations as a file: Parquet, CSV or JSON lines, written a portion of users at a time under another name."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from plmrs.errors import UserError
from plmrs.workspace import atomic_file

Write = Callable[[pa.Table], None]
KINDS = (".parquet", ".csv", ".jsonl")


def check_output(path: Path) -> None:
    """See that a file of this name can be written.

    Raises:
        UserError: its ending is none of `KINDS`, or it is a folder.
    """
    if path.suffix.lower() not in KINDS:
        raise UserError(f"--output {path}: its ending says no format.", f"Let it end in {', '.join(KINDS)}.")
    if path.is_dir():
        raise UserError(f"--output {path} is a folder.", "Name a file in it.")


@contextmanager
def written(path: Path, schema: pa.Schema) -> Iterator[Write]:
    """Give a function that writes a portion of the table; the file has its name once the block has ended well."""
    kind = path.suffix.lower()
    with atomic_file(path) as temporary:
        if kind == ".parquet":
            with pq.ParquetWriter(temporary, schema, compression="zstd") as parquet:
                yield parquet.write_table
        elif kind == ".csv":
            with csv.CSVWriter(temporary, schema) as lines:
                yield lines.write_table
        else:
            with temporary.open("wb") as file:
                yield lambda table: _write_json(file, table)


def _write_json(file: BinaryIO, table: pa.Table) -> None:
    """A line of JSON a row, its texts as they are. Each distinct text is spelled once, the rest is Arrow's work."""
    parts: list[pa.Array | str] = []
    for number, name in enumerate(table.column_names):
        parts += [f"{', ' if number else '{'}{json.dumps(name)}: ", _as_json(table.column(name).combine_chunks())]
    lines = pc.binary_join_element_wise(*parts, "}\n", "")
    for line in lines.chunks if isinstance(lines, pa.ChunkedArray) else [lines]:
        if len(line):
            end = int(np.frombuffer(line.buffers()[1], np.int32, len(line) + 1)[-1])
            file.write(memoryview(line.buffers()[2])[:end])


def _as_json(column: pa.Array) -> pa.Array:
    if not pa.types.is_string(column.type):
        return column.cast(pa.string())
    encoded = column.dictionary_encode()
    spelled = [json.dumps(value, ensure_ascii=False) for value in encoded.dictionary.to_pylist()]
    return pc.fill_null(
        pa.DictionaryArray.from_arrays(encoded.indices, pa.array(spelled, pa.string())).cast(pa.string()), "null"
    )
