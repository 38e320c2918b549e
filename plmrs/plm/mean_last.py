"""An item's vector from the mean of its tokens' states and the last one: an MLP that learns what to take of either."""

import torch
from torch import Tensor, nn


class MeanLast(nn.Module):
    """The pooling `mean_last`: concat(mean, last) → Linear → GELU → Linear → GELU → Linear → LayerNorm.

    Args:
        width: H, of both vectors and of the one made of them.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 * width, width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.LayerNorm(width),
        )

    def forward(self, mean: Tensor, last: Tensor) -> Tensor:
        """One vector a text. [texts, H], [texts, H] -> [texts, H]"""
        made: Tensor = self.layers(torch.cat([mean, last], dim=-1))  # [texts, 2·H] -> [texts, H]
        return made
