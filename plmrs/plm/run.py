"""Texts through a piece of a PLM, a batch at a time.

Texts come sorted by length, so most batches are of texts that are equally long: they need no padding, and the attention
no mask. The others are padded to the longest of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plmrs.errors import UserError
from plmrs.plm.checkpoint import AGAIN, Plm
from plmrs.plm.pieces import Piece

TOKENS_A_BATCH = 4096
"""Padded tokens of a batch, unless its number of texts is given."""


def batches(lengths: NDArray[np.integer[Any]], batch_size: int | None = None) -> Iterator[slice]:
    """Cut texts into batches.

    A batch ends where the budget of tokens does, or where the length changes once half of the budget is used, so that
    batches of one length are the rule.

    Example: lengths `9 9 9 8 2 2` and 18 tokens a batch give the texts 0–1, 2, 3 and 4–5, all without padding.

    Args:
        lengths: Tokens of each text, the longest first. [texts]
        batch_size: Texts a batch; None for as many as make `TOKENS_A_BATCH` padded tokens.
    """
    changes = np.flatnonzero(np.diff(lengths)) + 1
    start = 0
    while start < len(lengths):
        most = batch_size or max(1, TOKENS_A_BATCH // int(lengths[start]))
        stop = min(start + most, len(lengths))
        last_change = int(changes[np.searchsorted(changes, stop) - 1]) if len(changes) else 0
        if stop - start > last_change - start >= most // 2 > 0:
            stop = last_change
        yield slice(start, stop)
        start = stop


class Runner:
    """Runs a piece on a device.

    Args:
        plm: The PLM it is a piece of, for errors.
        piece: The piece.
        device: Where it lies.
    """

    def __init__(self, plm: Plm, piece: Piece, device: torch.device) -> None:
        self.plm, self.piece, self.device = plm, piece, device

    def check_vocabulary(self, ids: NDArray[np.int32]) -> None:
        """See that the PLM knows every token.

        Raises:
            UserError: it does not.
        """
        largest = int(ids.max(initial=0))
        if largest >= self.piece.vocabulary:
            raise UserError(
                f"The tokenizer in {self.plm.folder} gives token {largest}, {self.plm.name} knows"
                f" {self.piece.vocabulary} tokens.",
                f"{AGAIN} These do not belong together.",
            )

    def run(self, inputs: Tensor, lengths: NDArray[np.integer[Any]]) -> tuple[Tensor, Tensor | None]:
        """The piece's states of a batch.

        Args:
            inputs: Token ids [tokens] or states [tokens, H] of the texts, one text after the other.
            lengths: Tokens of each text. [texts]

        Returns:
            States [texts, longest, H], and 1 at real tokens [texts, longest], None where none is padded.

        Raises:
            UserError: the batch does not fit in memory.
        """
        width = int(lengths.max())
        mask = None
        if int(lengths.min()) == width:
            padded = inputs.reshape(len(lengths), width, *inputs.shape[1:])  # [texts · width, …] -> [texts, width, …]
        else:
            mask = torch.arange(width) < torch.as_tensor(np.asarray(lengths, np.int64))[:, None]
            fill = self.piece.padding if self.piece.embeddings else 0.0
            padded = inputs.new_full((*mask.shape, *inputs.shape[1:]), fill)
            padded[mask] = inputs
            mask = mask.long().to(self.device, non_blocking=True)
        try:
            with torch.inference_mode():
                return self.piece(padded.to(self.device, non_blocking=True), mask), mask
        except (RuntimeError, MemoryError) as error:
            # On the CPU PyTorch raises a plain RuntimeError for want of memory.
            if not isinstance(error, torch.OutOfMemoryError | MemoryError) and "allocate memory" not in str(error):
                raise
            raise UserError(
                f"{len(lengths)} texts of {width} tokens at once do not fit in the memory of {self.device}.",
                f"Use a smaller batch, as in --batch-size {max(1, len(lengths) // 2)}, or a lower --max-memory.",
            ) from None


def packed(states: Tensor, mask: Tensor | None) -> Tensor:
    """The states of the real tokens, one text after the other. [texts, width, H] -> [tokens, H]"""
    return states.flatten(0, 1) if mask is None else states[mask.bool()]
