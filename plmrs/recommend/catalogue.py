"""The items that are ranked: those of the data set, and behind them new ones."""

from dataclasses import dataclass

import pyarrow as pa
import torch
from torch import Tensor

from plmrs.data.dataset import Dataset
from plmrs.errors import UserError
from plmrs.model.recommender import Recommender


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
    vectors = model.items().detach()  # Learned ones are the parameter itself.
    candidates = model.candidates(vectors)
    if not bool(torch.isfinite(candidates).all()):
        raise UserError("The model's item vectors are not all numbers: its training diverged.", "Train it again.")
    table = dataset.item_table
    return Catalogue(table.column("item_id"), table.column("text"), vectors, candidates, dataset.n_items)
