"""What a target is ranked among."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plmrs.data.candidates import allowed_items
from plmrs.data.dataset import Dataset


@dataclass(frozen=True)
class Candidates:
    """The items that are ranked.

    Attributes:
        allowed: Which items; None for all. [items]
        told: What they are, for the protocol.
    """

    allowed: NDArray[np.bool_] | None
    told: str


def candidates_of(asked: str, dataset: Dataset, counts: NDArray[np.int64]) -> Candidates:
    """The candidates that `--candidates` means.

    Args:
        asked: all, interacted, train or a file's path.
        dataset: Whose items.
        counts: Interactions of each item in training. [items]

    Raises:
        UserError: there is no such file, or an id in it is no item's.
    """
    n = dataset.n_items
    allowed = allowed_items(asked, dataset, dataset.item_table.column("item_id"))
    new = int((counts == 0).sum() if allowed is None else (counts[allowed] == 0).sum())
    if allowed is None:
        return Candidates(None, f"all {n:,} items ({new:,} never in training)")
    among = f"the {allowed.sum():,} items"
    if asked == "train":
        return Candidates(allowed, f"{among} that occur in training, of {n:,}")
    which = "that anyone took" if asked == "interacted" else f"in {asked}"
    return Candidates(allowed, f"{among} {which}, of {n:,} ({new:,} never in training)")
