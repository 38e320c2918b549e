"""Bootstrap intervals of a metric over users (Efron and Tibshirani, 1993, chapter 13).

A metric of a user depends on the target's rank alone. So a sample of n users with replacement is a multinomial draw of
how often each rank comes, and a thousand samples of any number of users are a table of a thousand rows and a column a
rank that counts.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plmrs.model.metrics import gains

SEED = 0
SHARE = 0.95


def intervals(ranks: NDArray[np.int64], topk: Sequence[int], samples: int) -> dict[str, tuple[float, float]]:
    """Between which values the middle 95 % of resampled metrics lie.

    Args:
        ranks: Rank of each user's target, from 1. [users]
        topk: Cut-offs k.
        samples: How often the users are drawn anew.
    """
    behind = max(topk) + 1  # All ranks from here on count nothing.
    shares = np.bincount(np.minimum(ranks, behind), minlength=behind + 1) / len(ranks)
    drawn = np.random.default_rng(SEED).multinomial(len(ranks), shares, size=samples)  # [samples, behind + 1]
    found = {}
    for name, of_rank in gains(np.arange(1, behind + 1), topk):
        means = drawn[:, 1:] @ of_rank / len(ranks)
        low, high = np.quantile(means, [(1 - SHARE) / 2, (1 + SHARE) / 2])
        found[name] = float(low), float(high)
    return found
