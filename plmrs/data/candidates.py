"""Which items are ranked: all, those that anyone took, those that training has, or those that are named."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from plmrs.data.dataset import Dataset
from plmrs.data.ids import read_ids, rows_of
from plmrs.data.splits import split_of, training_counts
from plmrs.errors import UserError
from plmrs.origins import did_you_mean

CHOICES = ("all", "interacted", "train")
"""Candidates that have a name."""


def check_candidates(asked: str) -> None:
    """See that candidates are all, interacted, train or a file.

    Raises:
        UserError: they are none of these.
    """
    if asked not in CHOICES and not Path(asked).is_file():
        meant = did_you_mean(asked, CHOICES)
        hint = meant or "Give all, interacted, train, or a file with an id a line."
        raise UserError(f"--candidates {asked}: there is no such file.", hint)


def allowed_items(asked: str | Iterable[str], dataset: Dataset, ids: pa.ChunkedArray) -> NDArray[np.bool_] | None:
    """Which items are candidates; None where all are. [items]

    Args:
        asked: all, interacted, train, a file with an id a line, or ids.
        dataset: Whose interactions say what was taken.
        ids: The items' ids: those of the data set, and behind them any new ones, which count among the first three.

    Raises:
        UserError: there is no such file, or no item of such an id.
    """
    if asked == "all":
        return None
    if asked in CHOICES:
        taken = dataset.histories if asked == "interacted" else split_of(dataset).train
        allowed = np.ones(len(ids), np.bool_)
        allowed[: dataset.n_items] = training_counts(taken, dataset.n_items) > 0
        return allowed
    if isinstance(asked, str):
        check_candidates(asked)
        rows = rows_of(read_ids(Path(asked)), ids, "item", f"--candidates {asked}")
    else:
        rows = rows_of(list(asked), ids, "item", "candidates")
    allowed = np.zeros(len(ids), np.bool_)
    allowed[rows] = True
    return allowed
