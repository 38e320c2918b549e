"""What stands where a model's embeddings were, in a piece that starts from states."""

from typing import Any

import torch
from torch import Tensor, nn


class GivenStates(nn.Module):
    """Embeddings that pass on the states they are given."""

    def forward(self, inputs_embeds: Tensor, **others: Any) -> Tensor:
        """The states themselves. [texts, tokens, H]"""
        return inputs_embeds


class NoPositions(nn.Module):
    """Position embeddings that add nothing: the states hold their positions already."""

    zero: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Without dimensions it takes the states' precision, where a vector would raise float16 to float32.
        self.register_buffer("zero", torch.zeros(()), persistent=False)

    def forward(self, *given: Any, **others: Any) -> Tensor:
        """Zero, whatever is asked. []"""
        return self.zero
