"""The paired test beside all sign flips of few users, and beside what chance does."""

from itertools import product

import numpy as np
import pytest

from plmrs.evaluate.significance import compare, holm, sign_flips


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_p_is_that_of_all_sign_flips(seed):
    differences = np.random.default_rng(seed).choice([-0.5, -0.25, 0.0, 0.25, 1.0], 12)
    sums = np.array([np.array(signs) @ differences for signs in product([-1, 1], repeat=12)])
    exact = (np.abs(sums) >= abs(differences.sum()) - 1e-12).mean()
    mean, p = sign_flips(differences)
    assert mean == pytest.approx(differences.mean())
    assert p == pytest.approx(exact, abs=0.015)


def test_the_same_ranks_do_not_differ_and_chance_seldom_does():
    ranks = np.random.default_rng(0).integers(1, 30, 300)
    (pair,) = compare({"a": ranks, "b": ranks})
    assert (pair.difference, pair.p, pair.adjusted) == (0.0, 1.0, 1.0)
    rng = np.random.default_rng(5)
    found = [sign_flips(rng.normal(size=40))[1] for _ in range(200)]
    assert 2 <= sum(p < 0.05 for p in found) <= 20


def test_three_runs_are_three_pairs_on_the_ndcg_of_the_same_users():
    rng = np.random.default_rng(1)
    ranks = rng.integers(1, 40, 500)
    better = np.maximum(1, ranks // 4)
    pairs = compare({"a": ranks, "b": better, "c": rng.permutation(ranks)})
    assert [(pair.first, pair.second) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    gain = [np.where(each <= 10, 1 / np.log2(each + 1), 0).mean() for each in (ranks, better)]
    assert pairs[0].difference == pytest.approx(gain[0] - gain[1])
    assert pairs[0].adjusted == pytest.approx(3 * pairs[0].p)
    assert pairs[0].adjusted < 0.01
    assert pairs[1].p > 0.05


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == [0.2]
