"""JSON lines: an object a line. What Arrow's reader would not survive, or would take for another table, is refused.

Arrow's reader ends the process at a line that is `null`, and at values in some ten thousand others.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pj
from numpy.typing import NDArray

from plmrs.data.sources import raw
from plmrs.data.sources.raw import RawFile
from plmrs.errors import UserError

DEEPEST = 1_000
"""Objects and lists that may lie within one another."""
_OTHER_LINE = re.compile(rb"\n[ \t]*(?![ \t\n{]|\Z)")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_DEEPER = np.zeros(256, np.int32)
_DEEPER[list(b"{[")], _DEEPER[list(b"}]")] = 1, -1
_MARK = b"\xef\xbb\xbf"


def json_names(file: RawFile) -> list[str]:
    """The names of the values in the first rows.

    Raises:
        UserError: a line is no object.
        pa.ArrowException: the file is empty or damaged.
    """
    return list(_schema(file).names)


def json_batches(file: RawFile, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some values of the objects, a batch of rows at a time.

    Raises:
        UserError: a line is no object.
        pa.ArrowException: the file is damaged.
    """
    known = _schema(file)
    schema = pa.schema([known.field(name) for name in names])
    options = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    for batch in pj.open_json(_objects(file), pj.ReadOptions(block_size=raw.BLOCK), options):
        yield batch.select(list(names))


def _schema(file: RawFile) -> Any:
    first = pj.open_json(_objects(file), pj.ReadOptions(block_size=raw.BLOCK)).schema
    return pa.schema([(field.name, _as_written(field.type)) for field in first])


def _as_written(kind: Any) -> Any:
    """The type that leaves JSON's values as they stand: a text that looks like a date is no less a text.

    What the first block has no value of is likeliest a text too.
    """
    if pa.types.is_list(kind):
        return pa.list_(_as_written(kind.value_type))
    return pa.string() if pa.types.is_null(kind) or pa.types.is_timestamp(kind) else kind


def _objects(file: RawFile) -> Any:
    """The file's bytes, looked at: every line is empty or begins an object, and nothing lies too deep in one."""
    rows, held = 0, b""

    def look(block: Any) -> Any:
        nonlocal rows, held
        data = held + bytes(block)
        if not rows:
            data = data.removeprefix(_MARK)
        lines = b"\n" + data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if (wrong := _OTHER_LINE.search(lines)) is not None:
            row = rows + lines.count(b"\n", 0, wrong.end())
            raise UserError(
                f"{file} has no object in row {row}.",
                'Write a row a line, as {"item_id": "7", "title": "Dune"}, without commas between them.',
            )
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
        for line in _crowded(data, ends):
            nested = np.cumsum(_DEEPER[np.frombuffer(_STRING.sub(b"", line), np.uint8)])
            if nested.max(initial=0) > DEEPEST:
                raise UserError(f"{file} holds more than {DEEPEST:,} lists in one another.", "Check how it was made.")
        rows += len(ends)
        # Arrow refuses rows of more than a block; so much of one is enough to look at.
        held = data[int(ends[-1]) + 1 if len(ends) else 0 :][: 2 * raw.BLOCK]
        return block

    return pa.TransformInputStream(file.open(), look)


def _crowded(data: bytes, ends: NDArray[np.int64]) -> Iterator[bytes]:
    """The lines that open so many objects and lists that they may lie too deep."""
    text = np.frombuffer(data, np.uint8)
    opens = np.flatnonzero((text == ord("{")) | (text == ord("[")))
    bounds = [0, *ends.tolist(), len(data)]
    for line in np.flatnonzero(np.diff(np.searchsorted(opens, bounds)) > DEEPEST).tolist():
        yield data[bounds[line] : bounds[line + 1]]
