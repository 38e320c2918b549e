"""What a target is ranked among."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from plmrs.data.dataset import Dataset
from plmrs.data.splits import training_counts
from plmrs.errors import UserError


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
    new, n = int((counts == 0).sum()), dataset.n_items
    if asked == "all":
        return Candidates(None, f"all {n:,} items ({new:,} never in training)")
    if asked == "train":
        return Candidates(counts > 0, f"the {n - new:,} items that occur in training, of {n:,}")
    if asked == "interacted":
        taken = training_counts(dataset.histories, n) > 0
        unseen = int((counts[taken] == 0).sum())
        return Candidates(taken, f"the {taken.sum():,} items that anyone took, of {n:,} ({unseen:,} never in training)")
    allowed = np.zeros(n, np.bool_)
    allowed[_rows(Path(asked), dataset)] = True
    unseen = int((counts[allowed] == 0).sum())
    return Candidates(allowed, f"the {allowed.sum():,} items in {asked}, of {n:,} ({unseen:,} never in training)")


def _rows(path: Path, dataset: Dataset) -> NDArray[np.int64]:
    """The items whose ids stand in a file, a line each. [n]"""
    if not path.is_file():
        raise UserError(
            f"--candidates: there is no file {path}.", "It takes all, interacted, train, or a file of item ids."
        )
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    ids = pa.array([line.removesuffix("\r") for line in lines], pa.string())
    number = pa.array(np.arange(1, len(ids) + 1))
    filled = pc.not_equal(ids, "")
    ids, number = ids.filter(filled), number.filter(filled)
    rows = pc.index_in(ids, value_set=pa.array(dataset.item_ids(), pa.string()))
    if not len(ids):
        raise UserError(f"--candidates: {path} is empty.", "It takes an item id a line.")
    if rows.null_count:
        first = pc.index(pc.is_null(rows), True).as_py()
        raise UserError(
            f"{path}, line {number[first]}: data set {dataset.name} has no item {ids[first].as_py()!r}.",
            f"It has none of {rows.null_count:,} of the {len(ids):,} ids there. Leave them out.",
        )
    found: NDArray[np.int64] = rows.to_numpy().astype(np.int64)
    return found
