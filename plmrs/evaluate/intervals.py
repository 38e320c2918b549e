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
AT_ONCE = 1 << 22
"""Numbers that are drawn at once: 32 MiB."""


def intervals(ranks: NDArray[np.int64], topk: Sequence[int], samples: int) -> dict[str, tuple[float, float]]:
    """Between which values the middle 95 % of resampled metrics lie.

    Args:
        ranks: Rank of each user's target, from 1. [users]
        topk: Cut-offs k.
        samples: How often the users are drawn anew.
    """
    behind = min(max(topk), int(ranks.max())) + 1  # All ranks from here on count nothing.
    shares = np.bincount(np.minimum(ranks, behind), minlength=behind + 1) / len(ranks)
    of_rank = dict(gains(np.arange(1, behind + 1), topk))
    counted = np.stack(list(of_rank.values()), axis=1)  # [behind, metrics]
    random, rows = np.random.default_rng(SEED), max(1, AT_ONCE // (behind + 1))
    means = np.empty((samples, len(of_rank)))
    for first in range(0, samples, rows):
        part = means[first : first + rows]
        drawn = random.multinomial(len(ranks), shares, size=len(part))  # [n, behind + 1]
        np.matmul(drawn[:, 1:], counted, out=part)  # [n, behind] · [behind, metrics] -> [n, metrics]
    means /= len(ranks)
    ends = np.quantile(means, [(1 - SHARE) / 2, (1 + SHARE) / 2], axis=0)  # [2, metrics]
    return {name: (float(low), float(high)) for name, low, high in zip(of_rank, *ends, strict=True)}
