"""Whether two runs differ by more than the choice of users: a paired test on each user's NDCG@10."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

SAMPLES = 20_000
SEED = 0
K = 10


@dataclass(frozen=True)
class Pair:
    """Two runs compared.

    Attributes:
        first: One's name.
        second: The other's.
        difference: Mean over users of the first one's NDCG@10 less the second one's.
        p: How often chance alone gives a difference as large, in either direction.
        adjusted: The same, corrected for the number of pairs (Holm, 1979).
    """

    first: str
    second: str
    difference: float
    p: float
    adjusted: float


def compare(ranks: Mapping[str, NDArray[np.int64]]) -> list[Pair]:
    """Compare all pairs of runs, by name, on the ranks of the same users. [users] each"""
    pairs = list(combinations(ranks, 2))
    tested = [sign_flips(_ndcg(ranks[first]) - _ndcg(ranks[second])) for first, second in pairs]
    adjusted = holm([p for _, p in tested])
    return [
        Pair(first, second, difference, p, corrected)
        for (first, second), (difference, p), corrected in zip(pairs, tested, adjusted, strict=True)
    ]


def sign_flips(differences: NDArray[np.float64]) -> tuple[float, float]:
    """The mean of paired differences, and the two-sided p of a randomisation test.

    Were there no difference, each user's would be as likely of the other sign (Fisher, 1935; for retrieval: Smucker,
    Allan and Carterette, 2007). p = (1 + samples at least as far from 0) / (1 + samples).

    Args:
        differences: Of each user. [users]
    """
    # Users of one size of difference are flipped together: how many of m are of one sign is binomial.
    sizes, users = np.unique(np.abs(differences), return_counts=True)
    users = users[sizes > 0]
    sizes = sizes[sizes > 0]
    flipped = np.random.default_rng(SEED).binomial(users, 0.5, (SAMPLES, len(users)))
    sums = (2 * flipped - users) @ sizes
    total = float(differences.sum())
    # Sums of the same numbers in another order differ in their last digits.
    far = np.abs(sums) >= abs(total) - 1e-9 * max(1.0, abs(total))
    return total / len(differences), float((1 + far.sum()) / (1 + SAMPLES))


def holm(p: list[float]) -> list[float]:
    """Each p corrected for their number. Example: `[.01, .04, .03]` gives `[.03, .06, .06]`."""
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(np.array(p)[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(steps, 1.0)
    return [float(each) for each in corrected]


def _ndcg(ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = (ranks <= K) / np.log2(ranks + 1)
    return found
