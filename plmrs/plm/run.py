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
from plmrs.plm.checkpoint import Plm
from plmrs.plm.folder import AGAIN
from plmrs.plm.pieces import Piece

TOKENS_A_BATCH = 4096
"""Padded tokens of a batch, unless its number of texts is given."""
CPU_TOKENS = 2048
"""The same on the CPU: larger ones leave the caches of a core."""


def batches(
    lengths: NDArray[np.integer[Any]], batch_size: int | None = None, most_tokens: int | None = None
) -> Iterator[slice]:
    """Cut texts into batches.

    A batch ends where the budget of tokens does, or where the length changes once half of the budget is used, so that
    batches of one length are the rule.

    Example: lengths `9 9 9 8 2 2` and 18 tokens a batch give the texts 0–1, 2, 3 and 4–5, all without padding.

    Args:
        lengths: Tokens of each text, the longest first. [texts]
        batch_size: Texts a batch; None for as many as make `TOKENS_A_BATCH` padded tokens.
        most_tokens: Padded tokens of a batch of several texts at most; None for no other limit.
    """
    changes = np.flatnonzero(np.diff(lengths)) + 1
    start = 0
    while start < len(lengths):
        longest = int(lengths[start])
        most = batch_size or max(1, TOKENS_A_BATCH // longest)
        if most_tokens is not None:
            most = max(1, min(most, most_tokens // longest))
        stop = min(start + most, len(lengths))
        last_change = int(changes[np.searchsorted(changes, stop) - 1]) if len(changes) else 0
        if stop - start > last_change - start >= most // 2 > 0:
            stop = last_change
        yield slice(start, stop)
        start = stop


def largest_batch(
    lengths: NDArray[np.integer[Any]], bounds: NDArray[np.integer[Any]], batch_size: int | None = None
) -> int:
    """Padded tokens that the largest batch has at most, where units of texts are cut into batches each by itself.

    Example: units of lengths `9 9 2` and `2 2` have in batches of two texts 18 padded tokens at most.

    Args:
        lengths: Tokens of each text, the longest first. [texts]
        bounds: The first text of each unit, and the number of texts. [units + 1]
        batch_size: As for `batches`.
    """
    longest = lengths[bounds[:-1]].astype(np.int64)  # [units]
    tokens = longest * np.minimum(np.diff(bounds), batch_size or len(lengths))
    if batch_size is None:
        tokens = np.minimum(tokens, np.maximum(longest, TOKENS_A_BATCH))
    return int(tokens.max())


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
            mask = self._sent(mask.long())
        try:
            with torch.inference_mode():
                return self.piece(self._sent(padded), mask), mask
        except (RuntimeError, MemoryError) as error:
            # On the CPU PyTorch raises a plain RuntimeError for want of memory.
            if not isinstance(error, torch.OutOfMemoryError | MemoryError) and "allocate memory" not in str(error):
                raise
            raise UserError(
                f"{len(lengths)} texts of {width} tokens at once do not fit in the memory of {self.device}.",
                f"Use a smaller batch, as in --batch-size {max(1, len(lengths) // 2)}, or a lower --max-memory.",
            ) from None

    def _sent(self, values: Tensor) -> Tensor:
        """Values on the device."""
        if self.device.type == "cuda":
            # Only out of pinned memory is a copy made while the CPU goes on.
            values = values.pin_memory()
        return values.to(self.device, non_blocking=True)


def packed(states: Tensor, mask: Tensor | None) -> Tensor:
    """The states of the real tokens, one text after the other. [texts, width, H] -> [tokens, H]"""
    return states.flatten(0, 1) if mask is None else states[mask.bool()]
