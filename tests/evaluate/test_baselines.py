import numpy as np
import pytest
import torch

from plmrs.data.dataset import Histories
from plmrs.evaluate import baselines
from plmrs.evaluate.baselines import ItemKnn, LastItemCosine, Popularity, item_similarity, neighbour_scores


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
    scores = neighbour_scores(histories([2, 3, 1], [3]), similarity, decay=0.8).toarray()
    np.testing.assert_allclose(scores[0], 0.64 * dense[1] + 0.8 * dense[2] + dense[0], rtol=1e-6)
    np.testing.assert_allclose(scores[1], dense[2], rtol=1e-6)


def scored(method, inputs: Histories, n_items: int, width: int) -> np.ndarray:
    """A method's scores, a chunk of columns at a time; what it says of single columns is checked on the way."""
    scores = method.on(torch.device("cpu"))(inputs)
    parts = []
    for first in range(0, n_items, width):
        parts.append(torch.full((len(inputs), min(width, n_items - first)), torch.nan))
        scores.fill(first, parts[-1])
    found = torch.cat(parts, 1)
    for column in range(n_items):
        torch.testing.assert_close(scores.of(torch.full((len(inputs),), column)), found[:, column])
    return found.numpy()


@pytest.mark.parametrize("width", [1, 3, 4])
def test_last_item_cosine_popularity_and_neighbours_in_chunks(monkeypatch, width):
    monkeypatch.setattr(baselines, "COLUMNS", width)
    inputs = histories([3, 1], [2])
    vectors = np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 3.0], [0.0, 0.0]], np.float16)
    expected = [[1, 0.5**0.5, 0, 0], [0.5**0.5, 1, 0.5**0.5, 0]]
    np.testing.assert_allclose(scored(LastItemCosine(vectors), inputs, 4, width), expected, rtol=1e-6)
    assert scored(Popularity(np.array([5, 0, 2])), inputs, 3, width).tolist() == [[5, 0, 2], [5, 0, 2]]
    similarity = item_similarity(histories([1, 2], [1, 3], [2, 3], [1, 2]), 4)
    dense = similarity.toarray()
    expected = [0.8 * dense[2] + dense[0], dense[1]]
    np.testing.assert_allclose(scored(ItemKnn(similarity), inputs, 4, width), expected, rtol=1e-6)
    np.testing.assert_allclose(scored(ItemKnn(similarity, decay=0), inputs, 4, width), dense[[0, 1]], rtol=1e-6)


@pytest.mark.parametrize("pairs", [50, 1 << 22])
def test_only_the_nearest_are_kept_and_their_ties(monkeypatch, pairs):
    monkeypatch.setattr(baselines, "PAIRS", pairs)
    rng = np.random.default_rng(1)
    taken = histories(*(rng.choice(np.arange(1, 41), rng.integers(2, 9), replace=False).tolist() for _ in range(60)))
    whole = item_similarity(taken, 40, neighbours=40).toarray()
    few = item_similarity(taken, 40, neighbours=5).toarray()
    cut = 0
    for own, kept in zip(whole, few, strict=True):
        least = np.sort(own)[::-1][4]
        np.testing.assert_array_equal(kept, np.where(own >= least, own, 0))
        cut += (own > 0).sum() - (kept > 0).sum()
    assert cut > 0


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
    np.testing.assert_allclose(
        neighbour_scores(histories(*users), similarity).toarray(), weights @ dense, rtol=1e-4, atol=1e-6
    )
