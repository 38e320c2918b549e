import numpy as np
import pytest
from scipy.stats import chisquare

from plmrs.data.dataset import Histories
from plmrs.data.negatives import sampled_negatives, sampling_log_q, sampling_probabilities, uniform_negatives


def histories(*rows: list[int]) -> Histories:
    stop = np.cumsum([len(row) for row in rows])
    return Histories(np.array([item for row in rows for item in row], np.int32), np.r_[0, stop[:-1]], stop)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_docstring_example():
    drawn = uniform_negatives(rng(), histories([3, 1, 3]), 1_000, np.arange(1, 5))
    assert drawn.shape == (1, 1_000)
    items, counts = np.unique(drawn, return_counts=True)
    assert items.tolist() == [2, 4]
    assert counts.min() > 440


def test_every_candidate_that_a_user_has_not_taken_comes_and_no_other():
    random = rng(7)
    candidates = np.flatnonzero(random.random(60) < 0.7) + 1
    users = [random.integers(1, 61, size=size).tolist() for size in (0, 1, 5, 30, 80)]
    drawn = uniform_negatives(random, histories(*users), 5_000, candidates)
    for row, user in zip(drawn, users, strict=True):
        left = set(candidates.tolist()) - set(user)
        assert len(left) > 1
        assert set(row.tolist()) == left
        assert chisquare(np.unique(row, return_counts=True)[1]).pvalue > 1e-4


@pytest.mark.parametrize("left", [1, 5, 10])
def test_a_user_with_all_but_one_gets_that_one(left):
    user = [item for item in range(1, 11) if item != left]
    drawn = uniform_negatives(rng(), histories([2], user, [3]), 50, np.arange(1, 11))
    assert (drawn[1] == left).all()
    assert 2 not in drawn[0]
    assert 3 not in drawn[2]


def test_a_user_with_all_is_given_any_of_them():
    drawn = uniform_negatives(rng(), histories([1, 2, 3, 4], [4, 1], [4, 3, 2, 1]), 200, np.arange(1, 5))
    assert [set(row.tolist()) for row in drawn] == [{1, 2, 3, 4}, {2, 3}, {1, 2, 3, 4}]


def test_histories_may_be_a_choice_of_others_and_one_may_come_twice():
    some = histories([1, 2], [3], [4, 5]).take(np.array([2, 0, 2]))
    drawn = uniform_negatives(rng(), some, 300, np.arange(1, 6))
    assert [set(row.tolist()) for row in drawn] == [{1, 2, 3}, {3, 4, 5}, {1, 2, 3}]
    assert not np.array_equal(drawn[0], drawn[2])


def test_no_users_and_no_draws():
    assert uniform_negatives(rng(), histories([1]).take(slice(0, 0)), 5, np.arange(1, 4)).shape == (0, 5)
    assert uniform_negatives(rng(), histories([1]), 0, np.arange(1, 4)).shape == (1, 0)


def test_a_seed_gives_the_same_again():
    users = histories([1, 2], [3])
    first, again = (uniform_negatives(rng(3), users, 20, np.arange(1, 100)) for _ in range(2))
    assert np.array_equal(first, again)


def test_probabilities_by_hand():
    assert sampling_probabilities(np.array([6, 0, 2, 0])).tolist() == [0.5, 0.125, 0.25, 0.125]
    assert sampling_probabilities(np.array([0, 0])).tolist() == [0.5, 0.5]


def test_draws_follow_their_probabilities():
    p = np.array([0.0, 0.5, 0.125, 0.0, 0.25, 0.125, 0.0])
    drawn = sampled_negatives(rng(), 20_000, p)
    counts = np.bincount(drawn, minlength=7)
    assert counts[[0, 3, 6]].tolist() == [0, 0, 0]
    assert chisquare(counts[p > 0], 20_000 * p[p > 0]).pvalue > 1e-4


def test_log_q_is_how_often_an_item_is_among_those_drawn():
    counts = np.array([30, 0, 5, 1, 0, 4])
    for which, rows in (("train", np.array([0, 2, 3, 5])), ("all", np.arange(6))):
        p, random = sampling_probabilities(counts[rows]), rng(1)
        there = np.zeros(6)
        for _ in range(4_000):
            there[np.unique(rows[sampled_negatives(random, 3, p)])] += 1
        log_q = sampling_log_q(counts, 3, which)
        assert np.exp(log_q[rows]) == pytest.approx(there[rows] / 4_000, abs=0.03)
        assert not np.delete(log_q, rows).any()


def test_log_q_is_finite_for_a_lone_item_and_for_rare_ones():
    assert sampling_log_q(np.array([9]), 5, "train") == pytest.approx([0.0])
    counts = np.full(1_000_000, 3)
    # So rare, they are expected n · p times.
    np.testing.assert_allclose(sampling_log_q(counts, 10, "all"), np.log(10 / 1e6), atol=1e-4)
