"""Rows to compare a model with. Each sees what the model may: the training part, and a user's items before the target.

Each gives scores a chunk of items at a time, as a model does; column j is item j + 1.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from plmrs.data.dataset import Histories
from plmrs.model.ranking import COLUMNS, Scorer

DECAY = 0.8
"""Weight of a history's item relative to the next one."""
SIMILAR = 2**26
"""Similarities kept in all, 512 MiB: of 8,192 items each to each, of a million 67 each."""
PAIRS = 2**22
"""Co-occurrences that are counted at once: some 150 MiB."""


@dataclass(frozen=True)
class Popularity:
    """Scores an item by its number of training interactions.

    Attributes:
        counts: Of each item. [items]
    """

    counts: NDArray[np.int64]

    def on(self, device: torch.device) -> Scorer:
        """The scorer on a device."""
        counts = torch.from_numpy(self.counts.astype(np.float32)).to(device)
        return lambda histories: _Constant(counts)


@dataclass(frozen=True)
class _Constant:
    row: Tensor  # [items]

    def fill(self, first: int, out: Tensor) -> None:
        out.copy_(self.row[first : first + out.shape[1]].expand_as(out))

    def of(self, columns: Tensor) -> Tensor:
        return self.row[columns]


@dataclass(frozen=True)
class LastItemCosine:
    """Scores an item by the cosine of its PLM vector to that of the user's last item.

    Attributes:
        vectors: As the cache has them. [items, H] float16 or float32
    """

    vectors: NDArray[np.floating]

    def on(self, device: torch.device) -> Scorer:
        """The scorer on a device."""
        vectors = torch.from_numpy(self.vectors).to(device)

        def scorer(histories: Histories) -> _Cosines:
            last = torch.from_numpy(histories.items[histories.stop - 1].astype(np.int64) - 1).to(device)
            return _Cosines(_unit(vectors[last]), vectors)

        return scorer


@dataclass(frozen=True)
class _Cosines:
    """Cosines to vectors that are scaled to length 1 only as they are needed, as a second copy may be large."""

    queries: Tensor  # [users, H]
    vectors: Tensor  # [items, H]

    def fill(self, first: int, out: Tensor) -> None:
        for start in range(0, out.shape[1], COLUMNS):
            part = out[:, start : start + COLUMNS]
            torch.mm(self.queries, _unit(self.vectors[first + start : first + start + part.shape[1]]).T, out=part)

    def of(self, columns: Tensor) -> Tensor:
        return (self.queries @ _unit(self.vectors[columns]).T).diagonal()


def _unit(vectors: Tensor) -> Tensor:
    """Rows scaled to length 1; a zero row stays zero. [n, H] -> [n, H] float32"""
    rows = vectors.float()
    norms = rows.norm(dim=1, keepdim=True)
    return rows / torch.where(norms > 0, norms, 1)


@dataclass(frozen=True)
class ItemKnn:
    """Scores an item by its similarities to what the user took; the last item counts 1, the one before `decay`, and on.

    Attributes:
        similarity: See `item_similarity`. [items, items]
        decay: Of the weights; 0 leaves the last item alone.
    """

    similarity: sparse.csr_array
    decay: float = DECAY

    def on(self, device: torch.device) -> Scorer:
        """The scorer; what it computes goes to the device afterwards."""
        return lambda histories: _Sparse(neighbour_scores(histories, self.similarity, self.decay).tocsc())


@dataclass(frozen=True)
class _Sparse:
    scores: sparse.csc_array  # [users, items]

    def fill(self, first: int, out: Tensor) -> None:
        start, stop = self.scores.indptr[first], self.scores.indptr[first + out.shape[1]]
        within = np.diff(self.scores.indptr[first : first + out.shape[1] + 1])
        columns = torch.from_numpy(np.repeat(np.arange(out.shape[1]), within)).to(out.device)
        rows = torch.from_numpy(self.scores.indices[start:stop].astype(np.int64)).to(out.device)
        out.zero_()[rows, columns] = torch.from_numpy(self.scores.data[start:stop]).to(out.device)

    def of(self, columns: Tensor) -> Tensor:
        found = sparse.coo_array(self.scores[np.arange(len(columns)), columns.cpu().numpy().copy()])
        return torch.from_numpy(found.toarray().reshape(-1)).to(columns.device)


def neighbour_scores(inputs: Histories, similarity: sparse.csr_array, decay: float = DECAY) -> sparse.csr_array:
    """The sum of an item's similarities to a user's items, weighted by how long ago they were taken.

    Example: decay .8 weighs the history `[7, 2, 9]` with `[.64, .8, 1]`, decay 0 with `[0, 0, 1]`.

    Returns:
        Scores. [users, items]
    """
    if decay == 0:
        inputs = Histories(inputs.items, inputs.stop - 1, inputs.stop)
    rows, places = inputs.flat()
    ages = inputs.stop[rows] - 1 - places
    weights = np.power(np.float32(decay), ages, dtype=np.float32)
    n_items = similarity.shape[0]
    history = sparse.csr_array((weights, (rows, inputs.items[places] - 1)), (len(inputs), n_items))
    return sparse.csr_array(history @ similarity)


def neighbours_kept(n_items: int) -> int:
    """How many similar items of each item are kept at most."""
    return max(1, SIMILAR // n_items)


def item_similarity(train: Histories, n_items: int, neighbours: int | None = None) -> sparse.csr_array:
    """ItemKNN: the cosine of two items' sets of users, of an item and those nearest to it; 0 of an item to itself.

    cos(i, j) = |users of i and j| / sqrt(|users of i| · |users of j|) (Sarwar et al., 2001)

    Args:
        train: Who took what.
        n_items: Items there are.
        neighbours: How many of each are kept; those as near as the last of them are kept too. Default: as many as
            memory has room for, by the number of items alone.

    Returns:
        Row i holds the neighbours of item i + 1. [items, items] float32
    """
    rows, places = train.flat()
    taken = sparse.csr_array((np.ones(len(rows), np.float32), (rows, train.items[places] - 1)), (len(train), n_items))
    taken.data[:] = 1.0  # a repeated item is one user all the same
    takers = sparse.csr_array(taken.T)
    users = np.diff(takers.indptr).astype(np.float32)
    scale = np.divide(1.0, np.sqrt(users), out=np.zeros_like(users), where=users > 0)
    pairs = np.cumsum(takers @ np.diff(taken.indptr).astype(np.float64))
    bounds = np.unique([0, *np.searchsorted(pairs, np.arange(PAIRS, pairs[-1], PAIRS)), n_items])
    parts = []
    for first, last in pairwise(bounds.tolist()):
        similar = sparse.csr_array(takers[first:last] @ taken)
        row = np.repeat(np.arange(last - first), np.diff(similar.indptr))
        similar.data *= scale[first + row] * scale[similar.indices]
        parts.append(_nearest(similar, row, first, neighbours or neighbours_kept(n_items)))
    return sparse.csr_array(sparse.vstack(parts, format="csr"))


def _nearest(similar: sparse.csr_array, row: NDArray[np.int64], first: int, neighbours: int) -> sparse.csr_array:
    """The nearest of the items in each row, without the item that the row belongs to.

    Args:
        similar: Similarities of items `first` + 1 and on to all. [n, items]
        row: The row of each of its entries, ascending. [entries]
        first: As said.
        neighbours: How many are kept.
    """
    itself = similar.indices == row + first
    # One sort for all rows: the nearest first within each, and the item itself behind all others.
    keys = row + np.where(itself, 1.0, 1.0 - np.minimum(similar.data, 1.0).astype(np.float64)) / 2
    last = np.minimum(similar.indptr[:-1] + neighbours, similar.indptr[1:]) - 1
    limit = np.sort(keys)[last[row]]
    kept = (keys <= limit) & ~itself
    indptr = np.r_[0, np.cumsum(np.bincount(row[kept], minlength=similar.shape[0]))]
    return sparse.csr_array((similar.data[kept], similar.indices[kept], indptr), shape=similar.shape)
