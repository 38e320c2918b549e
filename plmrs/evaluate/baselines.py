"""Rows to compare a model with. Each sees what the model may: the training part, and a user's items before the target.

All give scores of every item for some users, as a dense array: [users, items], column j is item j + 1.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from plmrs.data.dataset import Histories

DECAY = 0.8
"""Weight of a history's item relative to the next one."""


def by_popularity(counts: NDArray[np.int64], users: int) -> NDArray[np.float32]:
    """An item's number of training interactions. counts [items] -> [users, items]"""
    return np.tile(counts.astype(np.float32), (users, 1))


def unit_rows(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows scaled to length 1; a zero row stays zero. [items, H] -> [items, H]"""
    rows = vectors.astype(np.float32)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return unit


def by_last_item(inputs: Histories, unit_vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine of an item's PLM vector to that of the user's last item. -> [users, items]"""
    last = inputs.items[inputs.stop - 1] - 1
    scores: NDArray[np.float32] = unit_vectors[last] @ unit_vectors.T
    return scores


def item_similarity(train: Histories, n_items: int) -> sparse.csr_array:
    """ItemKNN: the cosine of two items' sets of users, 0 of an item to itself. [items, items]

    cos(i, j) = |users of i and j| / sqrt(|users of i| · |users of j|) (Sarwar et al., 2001)
    """
    rows, places = train.flat()
    taken = sparse.csr_array((np.ones(len(rows), np.float32), (rows, train.items[places] - 1)), (len(train), n_items))
    taken.data[:] = 1.0  # a repeated item is one user all the same
    users = np.asarray(taken.sum(axis=0), np.float32)
    scale = sparse.diags_array(np.divide(1.0, np.sqrt(users), out=np.zeros_like(users), where=users > 0))
    similar = sparse.csr_array(scale @ (taken.T @ taken) @ scale)
    similar.setdiag(0.0)
    return similar


def by_co_occurrence(inputs: Histories, similarity: sparse.csr_array, decay: float = DECAY) -> NDArray[np.float32]:
    """The sum of an item's similarities to a user's items, the last counting 1, the one before `decay`, and so on.

    Example: decay .8 weighs the history `[7, 2, 9]` with `[.64, .8, 1]`.

    Returns:
        Scores. [users, items]
    """
    rows, places = inputs.flat()
    ages = inputs.stop[rows] - 1 - places
    weights = np.power(np.float32(decay), ages, dtype=np.float32)
    n_items = similarity.shape[0]
    history = sparse.csr_array((weights, (rows, inputs.items[places] - 1)), (len(inputs), n_items))
    scores: NDArray[np.float32] = (history @ similarity).toarray().astype(np.float32)
    return scores
