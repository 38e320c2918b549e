"""A column of times, a batch at a time: numbers, or ISO dates as seconds since 1970."""

from contextlib import suppress

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from plmrs.data.sources.numbering import encoded
from plmrs.data.sources.raw import SEPARATORS, RawFile
from plmrs.data.sources.source import SECONDS
from plmrs.errors import UserError

Numbers = NDArray[np.int64] | NDArray[np.float64]

RULE = (
    "Times that all lie between 1973 and 2100 when read as seconds since 1970 are such seconds; likewise milliseconds."
)
EARLIEST, LATEST = 100_000_000, 4_102_444_800  # March 1973 and January 2100, in seconds since 1970


class Times:
    """Collects the times of a table's rows.

    Args:
        file: The table, for errors.
        name: The column.
    """

    def __init__(self, file: RawFile, name: str) -> None:
        self._file, self._name = file, name
        self._dates: bool | None = None
        self._rows = 0
        self._taken: list[Numbers] = []

    def add(self, column: pa.Array, kept: NDArray[np.bool_]) -> None:
        """Take the times of the rows that are `kept`. [rows]

        Raises:
            UserError: a row has no time, or one that is neither a number nor an ISO date.
        """
        values = self._values(column)
        known = np.isfinite(values) & (values > -(2.0**62)) & (values < 2.0**62)
        if not known.all():
            self._refuse(column, int(np.argmin(known)))
        self._rows += len(column)
        if values.dtype != np.float64 or not np.any(values % 1):
            values = values.astype(np.int64, copy=False)  # NumPy makes floats of int64 beside uint64.
        self._taken.append(values if kept.all() else values[kept])

    def finish(self) -> tuple[Numbers, str]:
        """All times, as float64 where some have fractions, and what they mean. [kept rows]"""
        times = np.concatenate([np.zeros(0, np.int64), *self._taken])
        self._taken = []
        if self._dates:
            return times, SECONDS
        if len(times):
            first, last = times.min(), times.max()
            if first >= EARLIEST and last < LATEST:
                return times, SECONDS
            if first >= EARLIEST * 1000 and last < LATEST * 1000:
                return (times / 1000 if np.any(times % 1000) else times // 1000), SECONDS
        return times, f"{self._name}, as in the file"

    def _values(self, column: pa.Array) -> Numbers:
        """Times of a batch, NaN where there is none. [rows]"""
        kind = column.type
        if pa.types.is_nested(kind):
            raise UserError(f"Column {self._name} of {self._file} holds {kind}, no times.", "Name another column.")
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            return self._seconds(column)
        if pa.types.is_integer(kind):
            return column.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
        if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return column.cast(pa.float64()).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
        if not column.null_count and not self._dates:
            for number in (pa.int64(), pa.float64()):
                try:
                    values: Numbers = column.cast(number).to_numpy()
                except pa.ArrowInvalid:
                    continue
                self._dates = False
                return values
        if self._dates is not False:
            with suppress(pa.ArrowInvalid):  # Arrow reads fewer spellings of a date than pandas, but at once.
                return self._seconds(column)
        codes, texts = encoded(column)  # each time is parsed once
        values = np.append(self._parsed(texts.cast(pa.string())), np.nan)
        return values[codes]  # code -1 is the last place

    def _seconds(self, column: pa.Array) -> Numbers:
        micros = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
        self._dates = True
        if micros.null_count:
            return micros.to_numpy(zero_copy_only=False) / 1e6  # type: ignore[no-any-return]
        whole, rest = np.divmod(micros.to_numpy(), 1_000_000)
        return whole + rest / 1e6 if rest.any() else whole  # type: ignore[no-any-return]

    def _parsed(self, texts: pa.Array) -> Numbers:
        """Numbers, or seconds of ISO dates, NaN where a text is neither. [texts]"""
        values = texts.to_pandas()
        numbers = pd.to_numeric(values, errors="coerce")
        dates = pd.to_datetime(values, format="ISO8601", utc=True, errors="coerce")
        if self._dates is None:
            self._dates = bool(dates.notna().sum() > numbers.notna().sum())
        if not self._dates:
            return np.asarray(numbers, np.float64)
        micros = dates.dt.as_unit("us").astype("int64").to_numpy()
        seconds: NDArray[np.float64] = np.where(dates.notna(), micros / 1e6, np.nan)
        return seconds

    def _refuse(self, column: pa.Array, row: int) -> None:
        value = column[row].as_py()
        line = self._rows + row + (2 if self._file.kind in SEPARATORS and not self._file.header else 1)
        said = "no time" if value in (None, "") else f"a time that is no number and no ISO date, {value},"
        raise UserError(
            f"{self._file} has {said} in row {line} of column {self._name}.",
            "Give every row a number or an ISO date such as 2024-03-09T14:05:00.",
        )
