"""Item vectors: from the PLM, from a learned table, or the sum of both.

PLM vectors are constants, so they are whitened once and kept outside the checkpoint; only the projection and the table
are trained and saved. An item training never saw has no learned row: with text+id its vector is the text's alone.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the customary name

from plmrs.config import ModelOptions


class Whitening(nn.Module):
    """PCA whitening: centred, rotated to the leading principal axes, each scaled to unit variance.

    Vectors of one PLM share a large common direction that leaves little to tell them apart; whitening removes it
    (Su et al., arXiv 2103.15316).
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
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
        scale = torch.where(values > 1e-6 * values.max(), values, torch.inf).rsqrt()
        self.mean.copy_(x.mean(0))
        self.axes.copy_((axes * scale).flip(1)[:, :n_out])

    def forward(self, vectors: Tensor) -> Tensor:
        """[items, n_in] -> [items, n_out]"""
        return (vectors - self.mean) @ self.axes


def projection(options: ModelOptions, n_in: int) -> nn.Sequential:
    """The MLP from PLM width to SASRec width, GELU between its layers. [*, n_in] -> [*, H]"""
    inner = options.projection_inner_sizes or (n_in,) * (options.projection_n_layers - 1)
    widths = [n_in, *inner, options.sasrec_hidden_size]
    layers: list[nn.Module] = []
    for narrow, wide in pairwise(widths):
        layers += [nn.Linear(narrow, wide), nn.GELU()]
    return nn.Sequential(*layers[:-1])


class ItemVectors(nn.Module):
    """The vectors of items 1…n, row i for item i + 1.

    Args:
        options: `input_type`, widths, whitening.
        in_training: Whether each item occurs in training. [items] bool
        plm_vectors: Pooled PLM states of the items; None for input type id. [items, PLM width]
    """

    def __init__(self, options: ModelOptions, in_training: Tensor, plm_vectors: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("in_training", in_training, persistent=False)
        self.in_training: Tensor
        self.table = self.projection = self.whitening = None
        if options.input_type != "text":
            self.table = nn.Embedding(len(in_training), options.sasrec_hidden_size)
            nn.init.normal_(self.table.weight, std=options.initializer_range)
        if options.input_type != "id":
            if plm_vectors is None:
                raise ValueError(f"input type {options.input_type} needs PLM vectors")
            width = plm_vectors.shape[1]
            if options.whitening != "none":
                self.whitening = Whitening(width, min(width, options.whitening))
                self.whitening.fit(plm_vectors[in_training])
                width = self.whitening.axes.shape[1]
            self.projection = projection(options, width)
            self.set_plm_vectors(plm_vectors)

    def set_plm_vectors(self, plm_vectors: Tensor) -> None:
        """Take the PLM vectors of the items, whitened once. [items, PLM width]"""
        vectors = plm_vectors.float()
        vectors = self.whitening(vectors) if self.whitening is not None else vectors
        self.register_buffer("text", vectors, persistent=False)

    def forward(self) -> Tensor:
        """The vectors of all items. [items, H]"""
        if self.projection is None:
            assert self.table is not None
            return self.table.weight
        vectors: Tensor = self.projection(self.text)
        if self.table is None:
            return vectors
        return vectors + self.table.weight * self.in_training[:, None]


def similarity_scale(initial: float = 1 / 0.07) -> nn.Parameter:
    """The logarithm of a learned inverse temperature, begun where CLIP's is (Radford et al., arXiv 2103.00020)."""
    return nn.Parameter(torch.tensor(initial).log())


def unit(vectors: Tensor) -> Tensor:
    """Vectors scaled to length 1. [*, H] -> [*, H]"""
    return F.normalize(vectors, dim=-1)
