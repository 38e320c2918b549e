"""Whitening of PLM vectors: the large direction that they share leaves little to tell them apart."""

import torch
from torch import Tensor, nn


class Whitening(nn.Module):
    """PCA: vectors centred and turned to the leading principal axes, each scaled to unit variance where they whiten.

    Vectors of one PLM share a large common direction; whitening removes it (Su et al., arXiv 2103.15316).

    Args:
        n_in: Width of what it reads.
        n_out: Axes kept, at most `n_in`.
        scaled: Whether each axis is scaled to unit variance; without, all alike, to unit variance on average.
    """

    def __init__(self, n_in: int, n_out: int, scaled: bool = True) -> None:
        super().__init__()
        self.scaled = scaled
        self.register_buffer("mean", torch.zeros(n_in))
        self.register_buffer("axes", torch.zeros(n_in, n_out))
        self.mean: Tensor
        self.axes: Tensor

    def fit(self, vectors: Tensor) -> None:
        """Fit on the vectors of training items. [items, n_in]"""
        x = vectors.double()
        centred = x - x.mean(0)
        values, axes = torch.linalg.eigh(centred.T @ centred / len(x))  # ascending
        n_out = self.axes.shape[1]
        # Directions without variance (fewer items than dimensions, or constant states) are dropped, not blown up.
        real = values > 1e-6 * values.max()
        if self.scaled:
            scale = torch.where(real, values, torch.inf).rsqrt()
        else:
            scale = real / values[-n_out:].clamp(min=0).mean().sqrt()
        self.mean.copy_(x.mean(0))
        self.axes.copy_((axes * scale).flip(1)[:, :n_out])

    def forward(self, vectors: Tensor) -> Tensor:
        """[items, n_in] -> [items, n_out]"""
        return (vectors - self.mean) @ self.axes
