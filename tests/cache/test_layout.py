import numpy as np
import pytest
from numpy.typing import NDArray

from plmrs.cache.layout import Layout, new_layout


def titles(n: int, seed: int = 0) -> NDArray[np.int32]:
    """Lengths as those of titles, the longest first."""
    length = np.clip(np.random.default_rng(seed).normal(14, 5, n), 3, 30).astype(np.int32)
    return np.sort(length)[::-1]


def most(length: NDArray[np.int32], layout: Layout) -> tuple[int, int]:
    """Texts and tokens of the fullest units, counted from the lengths."""
    units = np.split(length, layout.bounds[1:-1])
    assert layout.tokens.tolist() == [0, *np.cumsum([unit.sum() for unit in units])]
    assert len(units) == layout.n_units
    return max(map(len, units)), max(int(unit.sum()) for unit in units)


def test_a_worked_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plmrs.cache.layout.LEAST_TOKENS", 10)
    # 14 texts of 27 tokens: 10 tokens are 5.2 texts on average, so that a unit has 6 at most.
    layout = new_layout(np.array([5, 4, 4, 3, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1]), 8)
    assert layout.bounds.tolist() == [0, 2, 6, 12, 14]
    assert layout.tokens.tolist() == [0, 9, 19, 25, 27]
    assert (layout.n_units, layout.most_texts, layout.most_tokens) == (4, 6, 10)


@pytest.mark.parametrize(
    ("n", "width", "units", "tokens"),
    [
        (100, 384, 1, 4_096),  # Too few to be cut.
        (2_000, 384, 7, 4_096),
        (20_000, 384, 9, 33_500),  # An eighth of all.
        (160_000, 384, 53, 43_690),  # 64 MiB of float32.
        (160_000, 64, 36, 65_536),
        (160_000, 12_288, 1_674, 1_365),
    ],
)
def test_units_are_of_bounded_size_and_balanced(n: int, width: int, units: int, tokens: int) -> None:
    length = titles(n)
    layout = new_layout(length, width)
    assert (layout.most_texts, layout.most_tokens) == most(length, layout)
    assert abs(layout.n_units - units) <= 0.1 * units
    assert 0.95 * min(tokens, length.sum()) < layout.most_tokens <= 1.05 * tokens
    assert layout.most_tokens * width * 4 <= 64 * 2**20
    # What fills up the chunks: little of hidden states, less than half of pooled ones.
    assert layout.n_units * layout.most_tokens <= 1.25 * length.sum()
    assert layout.n_units * layout.most_texts <= 1.5 * n


def test_a_text_longer_than_a_unit_is_one() -> None:
    layout = new_layout(np.array([5_000, 4_900, 30, 20]), 100_000)
    assert layout.bounds.tolist() == [0, 1, 3, 4]
    assert layout.most_tokens == 5_000
    assert new_layout(np.array([7]), 16).bounds.tolist() == [0, 1]


def test_texts_of_one_length_fill_units_alike() -> None:
    layout = new_layout(np.full(10_000, 10), 16)
    assert np.diff(layout.bounds).tolist() == [1_250] * 8
