"""What the PLM's live blocks read of some items: their token ids, or their states at a cached boundary."""

from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plmrs.cache.dtypes import as_torch
from plmrs.cache.store import Cache
from plmrs.data.tokens import Tokens


class Texts(NamedTuple):
    """The texts of some items.

    Attributes:
        inputs: Token ids [tokens] int64, or states [tokens, H] as the cache keeps them, one text after the other.
        lengths: Tokens of each text. [items] int64
    """

    inputs: Tensor
    lengths: NDArray[np.int64]


class ItemInputs(Protocol):
    """Gives the texts of items, by their rows: item number - 1. [items] int64"""

    def __call__(self, rows: NDArray[np.int64]) -> Texts:
        """Their texts, in that order."""


def cached_states(cache: Cache) -> ItemInputs:
    """The states of a cached boundary."""

    def texts(rows: NDArray[np.int64]) -> Texts:
        states, lengths = cache.gather_hidden(rows + 1)
        return Texts(as_torch(states), lengths)

    return texts


def token_ids(tokens: Tokens) -> ItemInputs:
    """Token ids, for a PLM that runs from its embeddings on."""

    def texts(rows: NDArray[np.int64]) -> Texts:
        chosen = tokens.take(rows)
        return Texts(torch.from_numpy(chosen.ids.astype(np.int64)), chosen.length.astype(np.int64))

    return texts
