import numpy as np
import pytest

from plmrs.evaluate.lists import list_metrics


def test_by_hand():
    # 4 lists of 2: item 1 in all, items 2 and 3 in two each, item 4 in none.
    found = list_metrics(np.array([4, 2, 2, 0]), np.array([10, 3, 1, 7]), None, 2)
    assert found["coverage@2"] == 0.75
    assert found["popularity@2"] == (4 * 10 + 2 * 3 + 2 * 1) / 8
    # Half the mean absolute difference of all pairs over the mean.
    x = np.array([4, 2, 2, 0])
    assert found["gini@2"] == pytest.approx(np.abs(x[:, None] - x).mean() / 2 / x.mean())


def test_even_lists_and_one_list_for_all():
    counts = np.ones(1000, np.int64)
    assert list_metrics(np.full(1000, 3), counts, None, 5)["gini@5"] == pytest.approx(0)
    one = np.zeros(1000, np.int64)
    one[:5] = 700
    assert list_metrics(one, counts, None, 5) == pytest.approx(
        {"coverage@5": 0.005, "popularity@5": 1, "gini@5": 0.995}
    )


def test_only_candidates_count():
    shown, allowed = np.array([3, 3, 0, 0]), np.array([True, True, False, False])
    assert list_metrics(shown, np.arange(4), allowed, 1) == {"coverage@1": 1.0, "popularity@1": 0.5, "gini@1": 0.0}
