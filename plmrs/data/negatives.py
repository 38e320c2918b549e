"""Items drawn by chance that a target is compared with."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from plmrs.data.dataset import Histories


def uniform_negatives(
    rng: np.random.Generator, histories: Histories, n: int, candidates: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Draw n items for each user, evenly from the candidates that the user has not taken; repeats may occur.

    None is drawn in vain: the x-th candidate that a user has not taken is found by a search among those taken. So a
    user who took nearly all of them costs no more than another. A user who took all is given any of them.

    Args:
        rng: Where chance comes from.
        histories: All that each user took.
        n: Items a user.
        candidates: Item numbers, ascending. [candidates]

    Returns:
        Item numbers. [users, n]

    Example: of the candidates 1, 2, 3, 4, a user of the history [3, 1, 3] is given 2 and 4 evenly.
    """
    size = len(candidates)
    user, position = histories.flat()
    items = histories.items[position]
    place = np.searchsorted(candidates, items)
    place[place == size] = 0
    known = candidates[place] == items
    user, place = np.divmod(np.unique(user[known] * size + place[known]), size)  # each once, ascending
    taken = np.bincount(user, minlength=len(histories))
    some_left = taken[user] < size
    user, place = user[some_left], place[some_left]
    taken[taken == size] = 0
    first = np.cumsum(taken) - taken
    left_before = place - (np.arange(len(place)) - first[user])  # candidates before this one that are not taken
    drawn = rng.integers(0, (size - taken)[:, None], (len(taken), n))
    # One ascending array of all users; `left_before` and `drawn` are at most `size`.
    keys = user * (size + 1) + left_before
    wanted = np.arange(len(taken))[:, None] * (size + 1) + drawn
    taken_before = np.searchsorted(keys, wanted, side="right") - first[:, None]
    return candidates[drawn + taken_before]


def sampling_probabilities(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """How probably a draw of `sampled_negatives` gives each item: half evenly, half by share of interactions.

    Popular items are the hard negatives, but with those alone rare ones would never be pushed down (mixed negative
    sampling, Yang et al. 2020).

    Args:
        counts: Interactions of each candidate in training. [candidates]

    Returns:
        Probabilities. [candidates]
    """
    even = np.full(len(counts), 1 / max(1, len(counts)))
    total = counts.sum()
    if not total:
        return even
    mixed: NDArray[np.float64] = (even + counts / total) / 2
    return mixed


def sampled_negatives(rng: np.random.Generator, n: int, probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draw n places by their probabilities; repeats may occur. [candidates] -> [n]"""
    bounds = np.cumsum(probabilities)
    drawn = np.searchsorted(bounds, rng.random(n) * bounds[-1], side="right")
    # The product may round up to the last bound itself, which no place lies behind.
    places: NDArray[np.int64] = np.minimum(drawn, np.searchsorted(bounds, bounds[-1]))
    return places


def sampling_log_q(counts: NDArray[np.int64], n: int, which: Literal["train", "all"]) -> NDArray[np.float64]:
    """The logarithm of how often each item is expected among n that are drawn, repeats taken out: log(1 - (1 - p)ⁿ).

    The correction of a sampled softmax (Jean et al., arXiv 1412.2007) for candidates that are each there once.

    Args:
        counts: Interactions of each item in training. [items]
        n: Items drawn.
        which: Draw from all items, or those that training has.

    Returns:
        Logarithms; 0 for what is never drawn. [items]
    """
    drawn_from = counts > 0 if which == "train" else np.ones(len(counts), bool)
    log_q = np.zeros(len(counts))
    p = np.minimum(sampling_probabilities(counts[drawn_from]), 1 - 1e-12)  # where there is but one
    log_q[drawn_from] = np.log(-np.expm1(n * np.log1p(-p)))
    return log_q
