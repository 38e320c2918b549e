"""The recommender: item vectors, SASRec over them, and the similarity of a state and an item.

A plain module, so that ranking and serving need no training framework; `plmrs.train.module` makes it trainable.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the customary name

from plmrs.config import ModelOptions
from plmrs.data.dataset import Histories
from plmrs.data.windows import padded
from plmrs.errors import UserError
from plmrs.model.items import ItemVectors, similarity_scale, unit
from plmrs.model.losses import full_cross_entropy
from plmrs.model.sasrec import SASRec
from plmrs.workspace import atomic_file


class Recommender(nn.Module):
    """Scores every item as a user's next one.

    Args:
        options: Input type, sizes, similarity.
        in_training: Whether each item occurs in training; the softmax runs over those. [items] bool
        plm_vectors: Pooled PLM states of the items; None for input type id. [items, PLM width]
    """

    def __init__(self, options: ModelOptions, in_training: Tensor, plm_vectors: Tensor | None) -> None:
        super().__init__()
        self.options = options
        self.items = ItemVectors(options, in_training, plm_vectors)
        self.sasrec = SASRec(options)
        self.log_scale = similarity_scale() if options.similarity == "cosine" else None
        rows = in_training.nonzero()[:, 0]
        place = torch.full((len(in_training),), -1).index_copy(0, rows, torch.arange(len(rows)))
        self.register_buffer("trained_rows", rows, persistent=False)
        self.register_buffer("trained_place", place, persistent=False)
        self.trained_rows: Tensor
        self.trained_place: Tensor

    def states(self, histories: Tensor, vectors: Tensor) -> Tensor:
        """The state at each position, to be compared with the next item.

        Args:
            histories: Item numbers, 0 behind the last. [B, L] int64
            vectors: All items' vectors, row i for item i + 1. [items, H]

        Returns:
            States at padding mean nothing. [B, L, H]
        """
        # Padding borrows item 1's vector: it stands behind every real position, where nothing looks at it.
        states: Tensor = self.sasrec(F.embedding((histories - 1).clamp(min=0), vectors))
        return states

    def queries(self, states: Tensor) -> Tensor:
        """States as they are multiplied with candidates; queries · candidates are the logits. [*, H] -> [*, H]"""
        return states if self.log_scale is None else unit(states) * self.log_scale.exp()

    def candidates(self, vectors: Tensor) -> Tensor:
        """Item vectors as queries are multiplied with them. [items, H] -> [items, H]"""
        return vectors if self.log_scale is None else unit(vectors)

    def loss(self, windows: Tensor) -> Tensor:
        """Full cross-entropy of the next item at every real position, over the items that training has. []

        Items that training never sees are no candidates here: as eternal negatives a text model would learn to rank
        them last, though at that time they did not exist.

        Args:
            windows: Item numbers, 0 behind the last; position t predicts position t + 1. [B, L + 1] int64
        """
        vectors = self.items()  # [items, H]
        targets = windows[:, 1:]
        real = targets > 0
        states = self.states(windows[:, :-1], vectors)[real]  # [B, L, H] -> [positions, H]
        rows = vectors if len(self.trained_rows) == len(vectors) else vectors[self.trained_rows]
        return full_cross_entropy(self.queries(states), self.candidates(rows), self.trained_place[targets[real] - 1])

    @torch.inference_mode()
    def last_queries(self, histories: Histories, vectors: Tensor) -> Tensor:
        """The query behind each user's last item. [users, H]"""
        inputs = torch.from_numpy(padded(histories, self.options.sasrec_seq_len)).to(vectors.device)
        last = (inputs > 0).sum(dim=1) - 1
        states = self.states(inputs, vectors)[torch.arange(len(inputs), device=vectors.device), last]
        return self.queries(states)

    @torch.inference_mode()
    def scores(self, histories: Histories, users_at_once: int) -> Iterator[Tensor]:
        """Scores of all items for each user, some users at a time. ([users, items], column j is item j + 1)"""
        vectors = self.items()
        candidates = self.candidates(vectors)
        for first in range(0, len(histories), users_at_once):
            queries = self.last_queries(histories.take(slice(first, first + users_at_once)), vectors)
            yield queries @ candidates.T


def save_weights(model: Recommender, path: Path) -> None:
    """Write what was trained, with the fitted whitening, as safetensors; PLM vectors are not in it."""
    with atomic_file(path) as temporary:
        # Written as any other file, so that it has the permissions of the others.
        temporary.write_bytes(save({name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}))


def load_weights(model: Recommender, path: Path) -> None:
    """Read weights that `save_weights` or a training checkpoint holds.

    Raises:
        UserError: the file is damaged or belongs to another configuration.
    """
    try:
        if path.suffix == ".safetensors":
            weights = load_file(path)
        elif not zipfile.is_zipfile(path):
            raise ValueError("it is no checkpoint, or cut")
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
            weights = {name.removeprefix("recommender."): tensor for name, tensor in state.items()}
        model.load_state_dict(weights)
    except (RuntimeError, SafetensorError, UnpicklingError, LookupError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{path} holds no weights of this model: {reason}", "Train the run again.") from error
