"""Metrics of ranks: HR, NDCG and MRR at cut-offs."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray


def gains(ranks: NDArray[np.int64], topk: Sequence[int]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """What each user counts in each metric, a metric at a time.

    HR@k = [rank ≤ k], NDCG@k = [rank ≤ k] / log2(rank + 1), MRR@k = [rank ≤ k] / rank. With one relevant item a user
    the ideal DCG is 1 (Järvelin and Kekäläinen, 2002).

    Args:
        ranks: Rank of each user's target, from 1. [users]
        topk: Cut-offs k.
    """
    for k in topk:
        hit = ranks <= k
        yield f"HR@{k}", hit.astype(np.float64)
        yield f"NDCG@{k}", hit / np.log2(ranks + 1)
        yield f"MRR@{k}", hit / ranks


def metrics(ranks: NDArray[np.int64], topk: Sequence[int]) -> dict[str, float]:
    """Means over users of what `gains` gives. ranks [users]"""
    return {name: float(np.mean(values)) for name, values in gains(ranks, topk)}
