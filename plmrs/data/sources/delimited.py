"""Comma- and tab-separated text, a block of rows at a time, as it stands: no value is guessed to be more than text."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import csv

from plmrs.data.sources import raw
from plmrs.data.sources.damage import no_rows, readable
from plmrs.data.sources.quotes import Quotes, unclosed_error, unclosed_row
from plmrs.data.sources.raw import RawFile


def text_batches(
    file: RawFile, dialect: Any, types: Any, names: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The blocks of a delimited text file; `names` are its columns when it has no header.

    Raises:
        UserError: the file holds no rows, is damaged or not UTF-8; the message names the row where it is known.
    """
    quotes = Quotes()
    rows = 0
    with readable(file):
        source = quotes.seen(file.open()) if dialect.quote_char else file.open()
        try:
            with csv.open_csv(source, _options(True, names), dialect, types) as blocks:
                for block in blocks:
                    rows += len(block)
                    yield block
        except pa.ArrowInvalid:
            if quotes.any and (row := unclosed_row(file)):  # The reader took all that follows the quote for one value.
                raise unclosed_error(file, row) from None
            # Only a reader with one thread knows the number of the row at fault.
            with csv.open_csv(file.open(), _options(False, names), dialect, types) as blocks:
                for _ in blocks:
                    pass
            raise
    if not rows:
        raise no_rows(file)
    if (quotes.odd or quotes.stray) and (row := unclosed_row(file)):
        raise unclosed_error(file, row)


def unquoted() -> Any:
    """The dialect of tab-separated files: a quote is a character like any other."""
    return csv.ParseOptions(delimiter="\t", quote_char=False)


def dialect_of(kind: str) -> Any:
    """The dialect of a kind of text file: only comma-separated ones have quotes."""
    return csv.ParseOptions(delimiter=",", newlines_in_values=True) if kind == ".csv" else unquoted()


def text_names(file: RawFile) -> list[str]:
    """The columns of a delimited text file, as its header names them.

    Raises:
        UserError: a quote is open to the end.
        pa.ArrowInvalid: the file is empty or damaged.
    """
    dialect = dialect_of(file.kind)
    try:
        with csv.open_csv(file.open(), _options(False), dialect) as reader:
            return list(reader.schema.names)
    except pa.ArrowInvalid:
        if dialect.quote_char and (row := unclosed_row(file)):
            raise unclosed_error(file, row) from None
        raise


def _options(threads: bool, names: Sequence[str] | None = None) -> Any:
    return csv.ReadOptions(block_size=raw.BLOCK, use_threads=threads, column_names=names)
