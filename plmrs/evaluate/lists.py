"""What all users' lists are like together: how much of the catalogue they show, and how evenly."""

import numpy as np
from numpy.typing import NDArray


def list_metrics(
    shown: NDArray[np.int64], counts: NDArray[np.int64], candidates: NDArray[np.bool_] | None, k: int
) -> dict[str, float]:
    """Coverage, mean popularity and Gini coefficient of lists of the best k items.

    - coverage@k: the share of candidates that are in any list (catalogue coverage, Ge et al., 2010).
    - popularity@k: the mean, over all places of all lists, of an item's interactions in training (average
      recommendation popularity, Yin et al., 2012).
    - gini@k = Σ_i (2i - n - 1) x_i / (n Σ_i x_i), where x_1 ≤ … ≤ x_n say in how many lists each of n candidates is: 0
      where all are in equally many, near 1 where few are in all (Fleder and Hosanagar, 2009).

    Args:
        shown: In how many lists each item is. [items]
        counts: Its interactions in training. [items]
        candidates: Which items can be in a list; None for all. [items]
        k: Length of the lists.
    """
    if candidates is not None:
        shown, counts = shown[candidates], counts[candidates]
    n, places = len(shown), int(shown.sum())
    if not places:
        return {f"coverage@{k}": 0.0, f"popularity@{k}": 0.0, f"gini@{k}": 0.0}
    gini = (2 * np.arange(1, n + 1) - n - 1) @ np.sort(shown) / (n * places)
    return {
        f"coverage@{k}": float((shown > 0).mean()),
        f"popularity@{k}": float(shown @ counts / places),
        f"gini@{k}": float(gini),
    }
