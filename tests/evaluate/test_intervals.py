"""Intervals beside a bootstrap that draws users one by one."""

import numpy as np
import pytest

from plmrs.evaluate import intervals as module
from plmrs.evaluate.intervals import intervals
from plmrs.model.metrics import metrics


def test_they_are_those_of_a_bootstrap_over_users():
    ranks = np.random.default_rng(3).geometric(0.05, 400)
    found = intervals(ranks, [5, 20], 20_000)
    assert set(found) == set(metrics(ranks, [5, 20]))
    rng = np.random.default_rng(4)
    drawn = [metrics(ranks[rng.integers(0, 400, 400)], [5, 20]) for _ in range(4_000)]
    for name, (low, high) in found.items():
        expected = np.quantile([sample[name] for sample in drawn], [0.025, 0.975])
        spread = expected[1] - expected[0]
        assert low < metrics(ranks, [5, 20])[name] < high
        assert [low, high] == pytest.approx(expected, abs=0.05 * spread)


def test_they_do_not_depend_on_the_order_of_users_and_are_the_same_each_time():
    ranks = np.random.default_rng(0).integers(1, 60, 500)
    found = intervals(ranks, [10], 500)
    assert intervals(ranks[::-1].copy(), [10], 500) == found
    assert intervals(np.minimum(ranks, 11), [10], 500) == found


def test_they_are_the_same_however_many_are_drawn_at_once(monkeypatch):
    ranks = np.random.default_rng(1).integers(1, 60, 500)
    found = intervals(ranks, [5, 10**9], 300)
    monkeypatch.setattr(module, "AT_ONCE", 1000)
    for name, ends in intervals(ranks, [5, 10**9], 300).items():
        assert ends == pytest.approx(found[name], rel=1e-12)
    assert found["MRR@1000000000"][0] < (1 / ranks).mean() < found["MRR@1000000000"][1]


def test_all_alike_leaves_no_doubt():
    assert set(intervals(np.full(30, 2), [1], 100).values()) == {(0.0, 0.0)}
    assert intervals(np.full(30, 2), [2], 100)["MRR@2"] == (0.5, 0.5)
