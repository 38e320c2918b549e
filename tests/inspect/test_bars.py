"""Small bars and the ranges they stand for."""

import numpy as np
import pytest

from plmrs.inspect.bars import bars, doubling, even, sparkline


def test_the_largest_count_is_the_highest_bar_and_only_nothing_is_blank() -> None:
    assert bars(np.array([8, 7, 4, 1, 0])) == "█▇▄▁ "
    assert bars(np.array([1_000_000, 1, 0, 500_000])) == "█▁ ▄"
    assert bars(np.array([0, 0])) == "  "
    assert bars(np.array([], np.int64)) == ""


def test_doubling_ranges() -> None:
    assert doubling(np.array([0, 1, 2, 3, 4, 7, 8, 15, 16])).tolist() == [1, 1, 2, 2, 2, 1]
    assert doubling(np.array([5, 6, 70])).tolist() == [2, 0, 0, 0, 1]
    assert doubling(np.array([2**31])).tolist() == [1]


@pytest.mark.parametrize("seed", range(5))
def test_ranges_against_a_loop(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.integers(random.integers(0, 40), 900, size=200)
    counted: dict[int, int] = {}
    for value in values.tolist():
        counted[value.bit_length()] = counted.get(value.bit_length(), 0) + 1
    ranges = range(min(counted), max(counted) + 1)
    assert doubling(values).tolist() == [counted.get(bits, 0) for bits in ranges]

    found = even(values, 12)
    width = next(width for width in range(1, 900) if width * 12 > values.max() - values.min())
    starts = range(int(values.min()), int(values.max()) + 1, width)
    assert len(starts) <= 12
    assert found.tolist() == [sum(start <= value < start + width for value in values) for start in starts]


def test_few_values_get_a_bar_each() -> None:
    assert even(np.array([3, 4, 4, 6], np.int32), 12).tolist() == [1, 2, 0, 1]


def test_a_curve_from_its_least_to_its_largest_value() -> None:
    assert sparkline(np.array([6.0, 3.0, 2.0, 2.5])) == "█▃▁▂"
    assert sparkline(np.array([1.0, 1.0])) == "▁▁"
    assert sparkline(np.array([1.0, np.nan, 2.0])) == "▁ █"
    assert sparkline(np.array([])) == ""


def test_a_long_curve_is_drawn_as_means() -> None:
    assert sparkline(np.repeat([0.0, 7.0, 3.0], 50), most=3) == "▁█▄"
    assert len(sparkline(np.arange(1000.0))) == 40
