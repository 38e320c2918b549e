from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from plmrs.data.sources.raw import RawFile
from plmrs.data.sources.times import Times
from plmrs.errors import UserError

SECONDS = "seconds since 1970-01-01 UTC"
AS_IT_IS = "when, as in the file"


def read(*batches: object, kind: str = ".csv", kept: list[list[bool]] | None = None) -> tuple[list[float], str]:
    """The times of some batches: lists of text, or arrays."""
    times = Times(RawFile(Path(f"taken{kind}")), "when")
    for number, batch in enumerate(batches):
        column = batch if isinstance(batch, pa.Array | pa.ChunkedArray) else pa.array(batch, pa.string())
        times.add(column, np.array(kept[number]) if kept else np.ones(len(column), bool))
    found, unit = times.finish()
    return found.tolist(), unit


def second(*moment: int, **options: object) -> float:
    return datetime(*moment, **{"tzinfo": UTC, **options}).timestamp()


NEW_YEAR = int(second(2020, 1, 1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-01-01", NEW_YEAR),
        ("20200101", NEW_YEAR),
        ("2020-01-01 05:06", second(2020, 1, 1, 5, 6)),
        ("2020-01-01T05:06:07", second(2020, 1, 1, 5, 6, 7)),
        ("2020-01-01 05:06:07", second(2020, 1, 1, 5, 6, 7)),
        ("2020-01-01T05:06:07Z", second(2020, 1, 1, 5, 6, 7)),
        ("2020-01-01T05:06:07+00:00", second(2020, 1, 1, 5, 6, 7)),
        ("2020-01-01T05:06:07-0330", second(2020, 1, 1, 8, 36, 7)),
        ("2020-01-01 05:06:07.25", second(2020, 1, 1, 5, 6, 7, 250_000)),
        ("2020-01-01T05:06:07.123456", second(2020, 1, 1, 5, 6, 7, 123_456)),
        ("2020-01-01T05:06:07.250Z", second(2020, 1, 1, 5, 6, 7, 250_000)),
        ("1969-12-31T23:59:58", -2),
        ("1900-03-01", second(1900, 3, 1)),
        ("2999-12-31", second(2999, 12, 31)),
    ],
)
def test_iso_dates_are_seconds_since_1970(text: str, expected: float) -> None:
    # Beside another date: 20200101 alone is a number.
    assert read([text, "2020-01-01T00:00:01"]) == ([expected, NEW_YEAR + 1], SECONDS)
    assert read(["2020-01-01T00:00:01"], [text]) == ([NEW_YEAR + 1, expected], SECONDS)
    assert read(["2020-01-01T00:00:01+00:00", text]) == ([NEW_YEAR + 1, expected], SECONDS)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["5", "3", "-7", "0"], [5, 3, -7, 0]),
        (["5", "3.5"], [5, 3.5]),
        (["1e3", "1E-1"], [1000, 0.1]),
        ([" 5", "6 "], [5, 6]),
        (["20200101", "20191231"], [20200101, 20191231]),
        (["2013", "2014"], [2013, 2014]),
        (["2305843009213693953"], [2305843009213693953]),
        (["1577836800000000000", "1577836800000000001"], [1577836800000000000, 1577836800000000001]),
    ],
)
def test_numbers_are_as_in_the_file(texts: list[str], expected: list[float]) -> None:
    assert read(texts) == (expected, AS_IT_IS)
    assert read(*([text] for text in texts)) == (expected, AS_IT_IS)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, -2], pa.int64()),
        pa.array([1, -2], pa.int8()),
        pa.array([1.0, -2.0], pa.float64()),
        pa.array([1.0, -2.0], pa.float32()),
        pa.array(np.array([1.0, -2.0], np.float16)),
        pa.array([Decimal("1.00"), Decimal("-2.00")]),
        pa.array(["1", "-2"], pa.large_string()),
        pa.array(["1", "-2"]).dictionary_encode(),
        pa.array(["1", "-2"]).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string())),
    ],
    ids=lambda column: str(column.type),
)
def test_numbers_of_every_type(column: pa.Array) -> None:
    assert read(column, kind=".parquet") == ([1, -2], AS_IT_IS)


def test_unsigned_numbers() -> None:
    assert read(pa.array([2**32 - 1, 3], pa.uint32())) == ([2**32 - 1, 3], AS_IT_IS)
    assert read(pa.array([2**40, 3], pa.uint64())) == ([2**40, 3], AS_IT_IS)
    # Nanoseconds, which a float would round.
    late = NEW_YEAR * 10**9 + 1
    assert read(pa.array([late, late - 1], pa.uint64()), pa.array([5], pa.uint8())) == ([late, late - 1, 5], AS_IT_IS)
    with pytest.raises(UserError, match="no number and no ISO date, 9223372036854775808,"):
        read(pa.array([2**63, 3], pa.uint64()))


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([date(2020, 1, 2), date(1969, 12, 31)]), [NEW_YEAR + 86_400, -86_400]),
        (pa.array([date(2020, 1, 2)], pa.date64()), [NEW_YEAR + 86_400]),
        (pa.array([datetime(2020, 1, 1, 0, 0, 1)], pa.timestamp("s")), [NEW_YEAR + 1]),
        (pa.array([datetime(2020, 1, 1, 0, 0, 1, 500_000)], pa.timestamp("ms")), [NEW_YEAR + 1.5]),
        (pa.array([datetime(2020, 1, 1, 0, 0, 1)], pa.timestamp("ns")), [NEW_YEAR + 1]),
        (pa.array([1_577_836_801_000_000_999], pa.timestamp("ns")), [NEW_YEAR + 1]),
        (
            pa.array([datetime(2020, 1, 1, tzinfo=timezone(timedelta(hours=1)))], pa.timestamp("us", "Europe/Paris")),
            [NEW_YEAR - 3600],
        ),
        (pa.array(["2020-01-01"]).dictionary_encode(), [NEW_YEAR]),
        (pa.array(["2020-01-01T01:00+01:00"], pa.large_string()), [NEW_YEAR]),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_dates_of_every_type(column: pa.Array, expected: list[float]) -> None:
    assert read(column, kind=".parquet") == (expected, SECONDS)


@pytest.mark.parametrize(
    ("least", "most", "unit"),
    [
        (100_000_000, 4_102_444_799, SECONDS),
        (99_999_999, 1_577_836_800, AS_IT_IS),
        (100_000_000, 4_102_444_800, AS_IT_IS),
        (-5, 1_577_836_800, AS_IT_IS),
        (NEW_YEAR, NEW_YEAR * 1000, AS_IT_IS),
    ],
)
def test_what_looks_like_seconds_is_taken_as_such(least: int, most: int, unit: str) -> None:
    assert read([str(most)], [str(least)]) == ([most, least], unit)
    assert read(pa.array([least, most])) == ([least, most], unit)


@pytest.mark.parametrize(
    ("least", "most", "taken"),
    [
        (100_000_000_000, 4_102_444_799_000, True),
        (99_999_999_999, 1_577_836_800_000, False),
        (100_000_000_000, 4_102_444_800_000, False),
    ],
)
def test_what_looks_like_milliseconds_is_taken_as_such(least: int, most: int, taken: bool) -> None:
    expected = [least // 1000, most // 1000] if taken else [least, most]
    assert read([str(least), str(most)]) == (expected, SECONDS if taken else AS_IT_IS)


def test_thousandths_of_seconds_stay() -> None:
    times, unit = read(["1577836800123", "1577836800122"], ["1577836801000"])
    assert (times, unit) == ([NEW_YEAR + 0.123, NEW_YEAR + 0.122, NEW_YEAR + 1], SECONDS)


def test_only_rows_that_are_kept_count() -> None:
    kept = [[True, False], [False, True]]
    assert read(["1577836800", "1"], ["7.5", "1577836801"], kept=kept) == ([NEW_YEAR, NEW_YEAR + 1], SECONDS)
    assert read(["1", "2"], kept=[[False, False]]) == ([], AS_IT_IS)


@pytest.mark.parametrize(
    ("batches", "row", "said"),
    [
        ([["5", ""], ["6"]], 3, "no time"),
        ([["5", "6"], ["7", None, ""]], 5, "no time"),
        ([["5"], ["6"], ["7", "soon", "later"]], 5, "a time that is no number and no ISO date, soon,"),
        ([["5"], ["2020-01-01"]], 3, "no number and no ISO date, 2020-01-01,"),
        ([["2020-01-01"], ["2020-01-02", "2020-13-01"]], 4, "no ISO date, 2020-13-01,"),
        ([["2020-01-01"], ["01/02/2020"]], 3, "no ISO date, 01/02/2020,"),
        ([["2020-01-01", "x", "y"]], 3, "no ISO date, x,"),
        ([["5", "nan"]], 3, "no number and no ISO date, nan,"),
        ([["5", "inf"]], 3, "no number and no ISO date, inf,"),
        ([["5"], ["9223372036854775807"]], 3, "no number and no ISO date, 9223372036854775807,"),
        ([["5"], ["-9223372036854775808"]], 3, "no number and no ISO date, -9223372036854775808,"),
        ([pa.array([1, None, 2])], 3, "no time"),
        ([pa.array([1.0]), pa.array([2.0, None])], 4, "no time"),
        ([pa.array([1.0, float("nan")])], 3, "no number and no ISO date, nan,"),
        ([pa.array([date(2020, 1, 1), None])], 3, "no time"),
        ([pa.nulls(2)], 2, "no time"),
    ],
)
def test_the_first_bad_row_is_named(batches: list, row: int, said: str) -> None:
    with pytest.raises(UserError) as caught:
        read(*batches)
    assert caught.value.message.startswith("taken.csv has ")
    assert said in caught.value.message
    assert f"in row {row} of column when" in caught.value.message  # row 1 is the header
    assert "ISO date such as 2024-03-09T14:05:00" in caught.value.remedy
    with pytest.raises(UserError, match=f"in row {row - 1} of column when"):
        read(*batches, kind=".parquet")


@pytest.mark.parametrize("column", [pa.array([{"a": 1}]), pa.array([[1, 2]])])
def test_what_can_hold_no_times_is_refused(column: pa.Array) -> None:
    with pytest.raises(UserError, match=r"Column when of taken\.parquet holds .*, no times"):
        read(column, kind=".parquet")


def test_random_seconds_survive_every_spelling() -> None:
    rng = np.random.default_rng(0)
    seconds = rng.integers(second(1950, 1, 1), second(2060, 1, 1), 500)
    moments = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(value)) for value in seconds]
    spellings = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S+00:00")
    for spelling in spellings:
        texts = [moment.strftime(spelling) for moment in moments]
        assert read(texts[:100], texts[100:]) == (seconds.tolist(), SECONDS)
    mixed = [moment.strftime(spellings[i % 4]) for i, moment in enumerate(moments)]
    assert read(mixed[:3], mixed[3:]) == (seconds.tolist(), SECONDS)
