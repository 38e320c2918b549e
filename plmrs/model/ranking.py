"""Full ranking: the rank of each user's target among all candidates, and the metrics of ranks.

Ties count against the model: a target ranks behind every candidate with the same score. A model that gives all items
one score is thus last, not first.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plmrs.data.dataset import Histories


def mask_seen(scores: Tensor, seen: Histories, targets: Tensor) -> Tensor:
    """Set the scores of items a user took before to -inf, in place, except the target's.

    Args:
        scores: Column j is item j + 1. [users, items]
        seen: Items each user took before the target. [users]
        targets: Column of each user's target. [users] int64

    Example: items 1 and 3 seen by user 0, item 2 by user 1, whose target it is again:

        scores [[.5, .1, .9],   seen [[1, 3],   targets [1,   ->  [[-inf, .1, -inf],
                [.2, .7, .3]]         [2]]               1]        [  .2, .7,   .3]]
    """
    rows, places = seen.flat()
    columns = torch.from_numpy(seen.items[places].astype(np.int64) - 1).to(scores.device)
    kept = scores.gather(1, targets[:, None])
    scores[torch.from_numpy(rows).to(scores.device), columns] = -torch.inf
    return scores.scatter_(1, targets[:, None], kept)


def target_ranks(scores: Tensor, targets: Tensor) -> Tensor:
    """The rank of each target: 1 + the number of other candidates whose score is not below its own.

    Args:
        scores: Masked candidates are -inf. [users, items]
        targets: Column of each user's target. [users] int64

    Returns:
        Ranks from 1. A NaN is below nothing, so it too counts against the model. [users] int64

    Example:
        scores [[.3, .9, .3],   targets [0,   ->  [3,
                [.5, .1, .4]]            0]        1]
    """
    own = scores.gather(1, targets[:, None])
    return (~(scores < own)).sum(dim=1)


def metrics(ranks: NDArray[np.int64], topk: Sequence[int]) -> dict[str, float]:
    """Means over users of HR@k = [rank ≤ k], NDCG@k = [rank ≤ k] / log2(rank + 1), MRR@k = [rank ≤ k] / rank.

    With one relevant item a user the ideal DCG is 1 (Järvelin and Kekäläinen, 2002).

    Args:
        ranks: Rank of each user's target, from 1. [users]
        topk: Cut-offs k.
    """
    found: dict[str, float] = {}
    for k in topk:
        hit = ranks <= k
        found[f"HR@{k}"] = float(np.mean(hit))
        found[f"NDCG@{k}"] = float(np.mean(hit / np.log2(ranks + 1)))
        found[f"MRR@{k}"] = float(np.mean(hit / ranks))
    return found
