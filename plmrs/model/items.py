"""Item vectors: from the PLM, from a learned table, or the sum of both.

What the PLM gives is either a constant, one vector an item, or computed by blocks of it that run in every step, because
they train or a prompt acts in them. Constants are whitened once and kept outside the checkpoint. An item training never
saw has no learned row: with text+id its vector is the text's alone.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the customary name

from plmrs.config import ModelOptions
from plmrs.model.inputs import ItemInputs, Texts
from plmrs.model.whitening import Whitening
from plmrs.plm.mean_last import MeanLast
from plmrs.plm.trainable import TrainablePlm

ITEMS_AT_ONCE = 4096
"""Items whose vectors the PLM's live blocks compute in one go, where all are wanted."""

FITTED_ON = 20_000
"""Training items at most that live vectors are whitened by; a covariance needs no more."""

ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh}


def projection(options: ModelOptions, n_in: int) -> nn.Sequential:
    """The MLP from PLM width to SASRec width. [*, n_in] -> [*, H]"""
    inner = options.projection_inner_sizes or (n_in,) * (options.projection_n_layers - 1)
    widths = [n_in, *inner, options.sasrec_hidden_size]
    layers: list[nn.Module] = []
    for narrow, wide in pairwise(widths):
        layers += [nn.Linear(narrow, wide), ACTIVATIONS[options.projection_activation]()]
    return nn.Sequential(*layers[:-1])


class ItemVectors(nn.Module):
    """The vectors of items 1…n, row i for item i + 1.

    Args:
        options: `input_type`, widths, whitening.
        in_training: Whether each item occurs in training. [items] bool
        constant: The PLM's vectors of all items, as constants; with pooling mean_last mean and last side by side.
            [items, width] of any float dtype
        plm: Its blocks that run in every step, instead.
        inputs: What those read.
        mean_last: Whether `constant` is the mean and the last state, to be joined by layers that train.
    """

    text: Tensor

    def __init__(
        self,
        options: ModelOptions,
        in_training: Tensor,
        constant: Tensor | None = None,
        plm: TrainablePlm | None = None,
        inputs: ItemInputs | None = None,
        mean_last: bool = False,
    ) -> None:
        super().__init__()
        self.register_buffer("in_training", in_training, persistent=False)
        self.in_training: Tensor
        self.plm, self.inputs, self.constant = plm, inputs, constant
        self.table = self.projection = self.whitening = self.mean_last = None
        if options.input_type != "text":
            self.table = nn.Embedding(len(in_training), options.sasrec_hidden_size)
            nn.init.normal_(self.table.weight, std=options.initializer_range)
        if options.input_type == "id":
            return
        if plm is not None:
            width = plm.width
        elif constant is not None:
            width = constant.shape[1]
        else:
            raise ValueError(f"input type {options.input_type} needs a PLM")
        if constant is not None and mean_last:
            # Its layers take the place of whitening: they end in a norm.
            width //= 2
            self.mean_last = MeanLast(width)
        elif options.whitening != "none" and not (plm is not None and plm.pooling == "mean_last"):
            self.whitening = Whitening(width, min(width, options.whitening), not options.pca)
            width = self.whitening.axes.shape[1]
        self.projection = projection(options, width)
        if constant is not None:
            self.register_buffer("text", constant.float(), persistent=False)
            self.register_load_state_dict_post_hook(_whiten_constant)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def fit_whitening(self) -> None:
        """Fit the whitening on the vectors that training items have now. A model that is loaded brings it along."""
        if self.whitening is None:
            return
        rows = self.in_training.nonzero()[:, 0]
        if self.constant is not None:
            self.whitening.fit(self.constant[rows.cpu()].float())
            _whiten_constant(self)
            return
        rows = rows[:: -(-len(rows) // FITTED_ON)]
        training = self.training
        self.eval()
        self.whitening.fit(self._live(rows, None))
        self.train(training)

    def forward(self, rows: Tensor | None = None, texts: Texts | None = None) -> Tensor:
        """The vectors of some items.

        Args:
            rows: Which: item numbers - 1 [n] int64; None for all.
            texts: Their texts, if they were read beforehand.

        Returns:
            Their vectors, in that order. [n, H]
        """
        if self.projection is None:
            assert self.table is not None
            return self.table.weight if rows is None else F.embedding(rows, self.table.weight)
        vectors: Tensor = self.projection(self._text(rows, texts))
        if self.table is None:
            return vectors
        if rows is None:
            return vectors + self.table.weight * self.in_training[:, None]
        return vectors + F.embedding(rows, self.table.weight) * self.in_training[rows, None]

    def _text(self, rows: Tensor | None, texts: Texts | None) -> Tensor:
        """What the projection reads. [n, width]"""
        if self.plm is None:
            text = self.text if rows is None else F.embedding(rows, self.text)
            if self.mean_last is not None:
                joined: Tensor = self.mean_last(*text.chunk(2, dim=1))
                return joined
            return text
        live = self._live(rows, texts)
        if self.whitening is not None:
            live = self.whitening(live)
        return live

    def _live(self, rows: Tensor | None, texts: Texts | None) -> Tensor:
        """The vectors that the PLM's live blocks compute. [n, PLM width]"""
        assert self.plm is not None
        assert self.inputs is not None
        device = self.in_training.device
        if texts is not None:
            vectors: Tensor = self.plm(texts.inputs.to(device), texts.lengths)
            return vectors
        wanted = np.arange(len(self.in_training)) if rows is None else rows.cpu().numpy()
        parts = []
        for first in range(0, len(wanted), ITEMS_AT_ONCE):
            inputs, lengths = self.inputs(wanted[first : first + ITEMS_AT_ONCE])
            parts.append(self.plm(inputs.to(device), lengths))
        return torch.cat(parts)


def _whiten_constant(items: ItemVectors, *_: Any) -> None:
    """Whiten the constants once, by a whitening just fitted or loaded."""
    assert items.constant is not None
    if items.whitening is not None:
        items.text = items.whitening(items.constant.to(items.in_training.device).float())


def similarity_scale(initial: float = 1 / 0.07) -> nn.Parameter:
    """The logarithm of a learned inverse temperature, begun where CLIP's is (Radford et al., arXiv 2103.00020). [1]"""
    return nn.Parameter(torch.tensor([initial]).log())


def unit(vectors: Tensor) -> Tensor:
    """Vectors scaled to length 1. [*, H] -> [*, H]"""
    return F.normalize(vectors, dim=-1)
