"""What a trained model needs to serve users: their histories' item vectors in, the vector that is scored with out.

A batch always has one shape, however many users and items it is for: products are rounded by their shape, and a user
shall get the same numbers alone, in a list, and among all.
"""

import numpy as np
import torch
from torch import Tensor, nn

from plmrs.data.dataset import Histories
from plmrs.data.windows import padded
from plmrs.model.items import unit
from plmrs.model.recommender import Recommender


class UserEncoder(nn.Module):
    """From the vectors of a history's items to a query, whose products with the items' candidates are their scores.

    Args:
        model: What was trained.
    """

    def __init__(self, model: Recommender) -> None:
        super().__init__()
        self.sasrec = model.sasrec
        scale = model.log_scale
        self.register_buffer("scale", None if scale is None else scale.detach().exp())
        self.scale: Tensor | None
        self.length = model.options.sasrec_seq_len

    def forward(self, window: Tensor, length: Tensor) -> Tensor:
        """The queries of some users.

        Args:
            window: The vectors of each one's last items, oldest first; anything finite behind the last. [B, L, H]
            length: How many they are, 1 to L. [B] int64

        Returns:
            Queries. [B, H]
        """
        states = self.sasrec(window)
        last = (length - 1)[:, None, None].expand(-1, 1, states.shape[2])
        query: Tensor = states.gather(1, last)[:, 0]  # [B, L, H] -> [B, H]
        return query if self.scale is None else unit(query) * self.scale

    @torch.inference_mode()
    def of_histories(self, histories: Histories, vectors: Tensor, rows: int) -> Tensor:
        """The queries of some users' histories, reckoned in a batch of `rows`. [users, H]

        Args:
            histories: Items of each user, at least one.
            vectors: All items' vectors, row i for item i + 1. [items, H]
            rows: Users of a batch; `histories` has no more.
        """
        users = len(histories)
        numbers = padded(histories.take(np.resize(np.arange(users), rows)), self.length)  # [rows, ≤ L]
        window = np.zeros((rows, self.length), np.int64)
        window[:, : numbers.shape[1]] = numbers
        items = torch.from_numpy(window).to(vectors.device)
        length = (items > 0).sum(dim=1)
        places = (items - 1).clamp(min=0)
        queries: Tensor = self(vectors[places], length)
        return queries[:users]
