from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from plmrs.data.dataset import Histories
from plmrs.data.windows import padded, training_windows


def histories(*rows: list[int]) -> Histories:
    stop = np.cumsum([len(row) for row in rows])
    return Histories(np.array([item for row in rows for item in row], np.int32), np.r_[0, stop[:-1]], stop)


def rows(found: Histories) -> list[list[int]]:
    return [found.items[a:b].tolist() for a, b in zip(found.start, found.stop, strict=True)]


def test_the_docstring_examples():
    assert rows(training_windows(histories([7, 8, 9, 4]), 2, "all")) == [[8, 9, 4], [7, 8]]
    assert padded(histories([5, 3, 8], [1]), 2).tolist() == [[3, 8], [1, 0]]


def test_last_keeps_the_most_recent_window_and_drops_histories_without_a_next_item():
    found = training_windows(histories([1, 2, 3, 4, 5], [6], [], [7, 8]), 3, "last")
    assert rows(found) == [[2, 3, 4, 5], [7, 8]]


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_all_makes_every_item_but_the_first_a_target_once(seed):
    lengths = [1, 2, 3, 7, 20, 21, 22, 50]
    users = histories(*[list(range(100 * n, 100 * n + length)) for n, length in enumerate(lengths, 1)])
    rng = None if seed is None else np.random.default_rng(seed)
    windows = rows(training_windows(users, 10, "all", rng))
    targets = sorted(item for window in windows for item in window[1:])
    assert targets == [100 * n + i for n, length in enumerate(lengths, 1) for i in range(1, length)]
    assert max(map(len, windows)) <= 11
    # What fits one window stays whole; of what does not, one window is full.
    assert all(sum(w[0] // 100 == n for w in windows) == 1 for n in range(2, 5))
    assert all(any(len(w) == 11 and w[0] // 100 == n for w in windows) for n in range(5, 9))


def test_a_long_history_is_cut_anywhere_alike():
    windows = rows(training_windows(histories(*[list(range(25))] * 3_000), 10, "all", np.random.default_rng(0)))
    # Targets of the window at a history's end: as many as its cuts were moved by, or ten where they were not.
    at_the_end = Counter(len(window) - 1 for window in windows if window[-1] == 24)
    assert sorted(at_the_end) == list(range(1, 11))
    assert chisquare(list(at_the_end.values())).pvalue > 1e-4


def test_padded_is_as_wide_as_the_longest():
    assert padded(histories([1, 2, 3], [4]), 10).shape == (2, 3)
