import numpy as np

from plmrs.data.dataset import Histories
from plmrs.evaluate.baselines import by_co_occurrence, by_last_item, by_popularity, item_similarity, unit_rows


def histories(*rows: list[int]) -> Histories:
    stop = np.cumsum([len(row) for row in rows])
    return Histories(np.concatenate(rows).astype(np.int32), np.r_[0, stop[:-1]], stop)


def test_item_similarity_by_hand():
    # item 1: users 0, 1, 2; item 2: users 0, 1; item 3: user 2; item 4: nobody. A repeat is one user.
    similarity = item_similarity(histories([1, 2, 1], [2, 1], [3, 1]), 4).toarray()
    expected = np.zeros((4, 4))
    expected[0, 1] = expected[1, 0] = 2 / np.sqrt(3 * 2)
    expected[0, 2] = expected[2, 0] = 1 / np.sqrt(3 * 1)
    np.testing.assert_allclose(similarity, expected, rtol=1e-6)


def test_co_occurrence_decays_from_the_last_item_backwards():
    similarity = item_similarity(histories([1, 2], [1, 3], [2, 3], [1, 2]), 3)
    dense = similarity.toarray()
    scores = by_co_occurrence(histories([2, 3, 1], [3]), similarity, decay=0.8)
    np.testing.assert_allclose(scores[0], 0.64 * dense[1] + 0.8 * dense[2] + dense[0], rtol=1e-6)
    np.testing.assert_allclose(scores[1], dense[2], rtol=1e-6)


def test_last_item_cosine_and_popularity():
    vectors = unit_rows(np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 3.0], [0.0, 0.0]]))
    scores = by_last_item(histories([3, 1], [2]), vectors)
    np.testing.assert_allclose(scores, [[1, 0.5**0.5, 0, 0], [0.5**0.5, 1, 0.5**0.5, 0]], rtol=1e-6)
    assert by_popularity(np.array([5, 0, 2]), 2).tolist() == [[5, 0, 2], [5, 0, 2]]


def test_co_occurrence_equals_a_dense_computation():
    rng = np.random.default_rng(0)
    users = [rng.integers(1, 30, rng.integers(2, 15)).tolist() for _ in range(50)]
    taken = np.zeros((50, 29))
    for user, items in enumerate(users):
        taken[user, np.array(items) - 1] = 1
    norms = np.linalg.norm(taken, axis=0)
    norms[norms == 0] = 1
    dense = (taken / norms).T @ (taken / norms)
    np.fill_diagonal(dense, 0)
    similarity = item_similarity(histories(*users), 29)
    np.testing.assert_allclose(similarity.toarray(), dense, atol=1e-6)
    weights = np.zeros((50, 29))
    for user, items in enumerate(users):
        for age, item in enumerate(reversed(items)):
            weights[user, item - 1] += 0.8**age
    np.testing.assert_allclose(by_co_occurrence(histories(*users), similarity), weights @ dense, rtol=1e-4, atol=1e-6)
