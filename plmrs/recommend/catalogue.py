"""The items that are ranked: those of the data set, and behind them new ones."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from plmrs.data.dataset import Dataset
from plmrs.data.splits import split_of, training_counts
from plmrs.errors import UserError
from plmrs.model.recommender import Recommender
from plmrs.origins import did_you_mean
from plmrs.recommend.ids import read_ids, rows_of

CHOICES = ("all", "interacted", "train")
"""Candidates that have a name."""


@dataclass(frozen=True)
class Catalogue:
    """Items, numbered from 1; row i is item i + 1.

    Attributes:
        ids: The source's ids. [items]
        texts: Their texts. [items]
        vectors: What a history is read as. [items, H]
        candidates: What a user's query is multiplied with. [items, H]
        known: How many of them the data set has; those behind are new.
    """

    ids: pa.ChunkedArray
    texts: pa.ChunkedArray
    vectors: Tensor
    candidates: Tensor
    known: int

    def __len__(self) -> int:
        return len(self.ids)

    def with_new(self, model: Recommender, ids: pa.Array, texts: pa.Array, vectors: Tensor) -> "Catalogue":
        """The same with new items behind the others. ids, texts [n], vectors [n, H]"""
        return Catalogue(
            pa.chunked_array([*self.ids.chunks, ids.cast(pa.string())]),
            pa.chunked_array([*self.texts.chunks, texts.cast(pa.string())]),
            torch.cat([self.vectors, vectors]),
            torch.cat([self.candidates, model.candidates(vectors)]),
            self.known,
        )


@torch.inference_mode()
def catalogue_of(model: Recommender, dataset: Dataset) -> Catalogue:
    """The items of a model's data set.

    Raises:
        UserError: the model's numbers are none, as after a training that diverged.
    """
    vectors = model.items()
    candidates = model.candidates(vectors)
    if not bool(torch.isfinite(candidates).all()):
        raise UserError("The model's item vectors are not all numbers: its training diverged.", "Train it again.")
    table = dataset.item_table
    return Catalogue(table.column("item_id"), table.column("text"), vectors, candidates, dataset.n_items)


def left_out(asked: str | Iterable[str], dataset: Dataset, catalogue: Catalogue) -> Tensor | None:
    """Which items are not recommended; None where all are. [items] bool

    Args:
        asked: all, interacted, train, a file with an id a line, or ids. New items count among the first three.
        dataset: Whose interactions say what was taken.
        catalogue: The items.

    Raises:
        UserError: there is no such file, or no item of such an id.
    """
    if asked == "all":
        return None
    if asked in ("interacted", "train"):
        taken = dataset.histories if asked == "interacted" else split_of(dataset).train
        out = np.zeros(len(catalogue), np.bool_)
        out[: catalogue.known] = training_counts(taken, catalogue.known) == 0
    else:
        out = np.ones(len(catalogue), np.bool_)
        out[_chosen(asked, catalogue)] = False
    return torch.from_numpy(out)


def check_candidates(asked: str) -> None:
    """See that candidates are all, interacted, train or a file.

    Raises:
        UserError: they are none of these.
    """
    if asked not in CHOICES and not Path(asked).is_file():
        meant = did_you_mean(asked, CHOICES)
        hint = meant or "Give all, interacted, train, or a file with an id a line."
        raise UserError(f"--candidates {asked}: there is no such file.", hint)


def _chosen(asked: str | Iterable[str], catalogue: Catalogue) -> NDArray[np.int64]:
    """The rows of the items of a file of ids, or of ids. [n]"""
    if isinstance(asked, str):
        check_candidates(asked)
        path = Path(asked)
        return rows_of(read_ids(path), catalogue.ids, "item", f"--candidates {path}")
    return rows_of(list(asked), catalogue.ids, "item", "candidates")
