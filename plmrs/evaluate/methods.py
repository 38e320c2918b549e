"""What is ranked: a run's model, and the rows to compare it with.

A method keeps what it needs in NumPy arrays, which can be handed to another process without copying them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from plmrs.cache.store import Cache
from plmrs.data.dataset import Histories
from plmrs.evaluate.baselines import ItemKnn, LastItemCosine, Popularity, item_similarity
from plmrs.model.encoder import UserEncoder
from plmrs.model.ranking import USERS, Products, Scorer
from plmrs.model.recommender import Recommender
from plmrs.model.run import Run

POPULARITY, COSINE = "popularity", "cosine to the last item"
KNN_LAST, KNN_DECAYED = "ItemKNN, last item", "ItemKNN, decayed history"


class Method(Protocol):
    """A way to score items."""

    def on(self, device: torch.device) -> Scorer:
        """Bring what it needs to a device."""


@dataclass(frozen=True)
class Model:
    """A trained recommender, whose item vectors are computed once.

    Attributes:
        encoder: From histories to users' vectors.
        vectors: Items' vectors as it reads them. [items, H]
        candidates: Items' vectors as those of users are multiplied with them. [items, H]
    """

    encoder: UserEncoder
    vectors: NDArray[np.float32]
    candidates: NDArray[np.float32]

    def on(self, device: torch.device) -> Scorer:
        """The scorer on a device."""
        encoder = self.encoder.to(device).eval()
        vectors, candidates = (torch.from_numpy(array).to(device) for array in (self.vectors, self.candidates))
        return lambda histories: Products(encoder.of_histories(histories, vectors, USERS), candidates)


@torch.inference_mode()
def model_method(model: Recommender, device: torch.device) -> Model:
    """A recommender as a method; its item vectors are computed on a device."""
    model = model.to(device)
    vectors = model.items()
    arrays = [array.float().cpu().numpy() for array in (vectors, model.candidates(vectors))]
    return Model(UserEncoder(model).cpu(), *arrays)


def cosine_method(run: Run, cache: Cache | None) -> tuple[tuple[str, ...], LastItemCosine] | None:
    """The cosine of a PLM's vectors, and what tells them from another run's; None where the run has no such cache."""
    pooling = run.config.cached.pooling_method
    pooling = "mean" if pooling == "mean_last" else pooling
    if cache is None or pooling not in cache.arrays:
        return None
    return (Path(run.manifest["plm"]).name, pooling, cache.fingerprint), LastItemCosine(cache.read(pooling))


def baselines(train: Histories, counts: NDArray[np.int64], cosines: Mapping[str, Method]) -> dict[str, Method]:
    """The rows to compare with, by name; `cosines` are those of PLMs."""
    similarity = item_similarity(train, len(counts))
    return {
        POPULARITY: Popularity(counts),
        **cosines,
        KNN_LAST: ItemKnn(similarity, decay=0),
        KNN_DECAYED: ItemKnn(similarity),
    }
