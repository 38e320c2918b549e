"""Token ids through a frozen PLM: sorted by length, padded to the longest of a batch, batched by tokens, the same once.

Sorting and padding a batch to its own longest text halves the work on titles against padding all to one length.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plmrs.data.tokens import Tokens
from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm, Precision
from plmrs.plm.load import load_plm
from plmrs.plm.pooling import POOLINGS, pool

TOKENS_A_BATCH = 4096
"""Padded tokens of a batch, unless its number of texts is given."""


@dataclass(frozen=True)
class Encoded:
    """What a PLM made of some texts.

    Attributes:
        pooled: An array a pooling. [texts, H] float16
        n_unique: Texts that ran: those of the same tokens run once.
        n_tokens: Tokens that ran, padding not counted.
    """

    pooled: dict[str, NDArray[np.float16]]
    n_unique: int
    n_tokens: int


class Encoder:
    """A PLM on a device.

    Args:
        plm: Which PLM.
        precision: Of weights and states.
        device: Where it runs.
        batch_size: Texts a batch; None for as many as make `TOKENS_A_BATCH` tokens.

    Raises:
        UserError: its files are damaged.
    """

    def __init__(self, plm: Plm, precision: Precision, device: torch.device, batch_size: int | None = None) -> None:
        self.plm = plm
        self.device = device
        self.batch_size = batch_size
        self.precision = precision
        self.model = load_plm(plm, precision, device)
        padding = self.model.config.pad_token_id  # type: ignore[union-attr]
        self.padding = padding if isinstance(padding, int) else 0

    def encode(self, tokens: Tokens, advance: Callable[[int, int], None] | None = None) -> Encoded:
        """Pool the PLM's final states of each text.

        Args:
            tokens: Texts of this PLM's tokens, one at least a text and no more than its positions.
            advance: Called after every batch with the texts and the tokens it settled.

        Raises:
            UserError: a token is none of the PLM's, a vector is no finite float16 number, or a batch does not fit in
                memory.
        """
        self._check_vocabulary(tokens)
        first, same = distinct(tokens)
        unique, repeats = tokens.take(first), np.bincount(same)
        pooled = {name: np.empty((len(unique), self.plm.hidden_size), np.float16) for name in POOLINGS}
        for batch in batches(unique.length, self.batch_size):
            for name, vectors in self._run(unique.take(batch)).items():
                pooled[name][batch] = vectors
            if advance is not None:
                advance(int(repeats[batch].sum()), int(unique.length[batch].sum()))
        return Encoded({name: vectors[same] for name, vectors in pooled.items()}, len(unique), len(unique.ids))

    def _check_vocabulary(self, tokens: Tokens) -> None:
        largest = int(tokens.ids.max(initial=0))
        known = int(self.model.get_input_embeddings().num_embeddings)  # type: ignore[operator]
        if largest >= known:
            raise UserError(
                f"The tokenizer in {self.plm.folder} gives token {largest}, {self.plm.name} knows {known} tokens.",
                "Copy or download the PLM's folder again: these do not belong together.",
            )

    def _run(self, tokens: Tokens) -> dict[str, NDArray[np.float16]]:
        ids, mask = (part.to(self.device) for part in right_padded(tokens, self.padding))
        try:
            with torch.inference_mode():
                hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
                pooled = pool(hidden, mask)
        except (RuntimeError, MemoryError) as error:
            # On the CPU PyTorch raises a plain RuntimeError for want of memory.
            if not isinstance(error, torch.OutOfMemoryError | MemoryError) and "allocate memory" not in str(error):
                raise
            smaller = max(1, len(ids) // 2)
            raise UserError(
                f"{tuple(ids.shape)} tokens at once do not fit in the memory of {self.device}.",
                f"Use a smaller batch, as in --batch-size {smaller}.",
            ) from None
        return {name: self._halved(vectors) for name, vectors in pooled.items()}

    def _halved(self, vectors: torch.Tensor) -> NDArray[np.float16]:
        halves = vectors.half()
        if not bool(halves.isfinite().all()):
            what = "are too large for the cache's float16 (65,504)" if vectors.isfinite().all() else "are not finite"
            raise UserError(
                f"States of {self.plm.name} {what}.",
                "Use --precision 32." if self.precision != "32" else "Its weights may be damaged; use another PLM.",
            )
        return halves.cpu().numpy()


def batches(lengths: NDArray[np.integer[Any]], batch_size: int | None = None) -> Iterator[NDArray[np.int64]]:
    """Cut texts into batches, the longest first: a batch too large for the memory fails at once, not after an hour.

    Lengths `3 9 8 2` and 18 tokens a batch give the positions `1 2` (2 · 9 tokens) and `0 3` (2 · 3).

    Args:
        lengths: Tokens of each text. [texts]
        batch_size: Texts a batch; None for as many as make `TOKENS_A_BATCH` padded tokens.

    Yields:
        Positions of a batch's texts. [texts of the batch]
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        n = batch_size or max(1, TOKENS_A_BATCH // int(lengths[order[start]]))
        yield order[start : start + n]
        start += n


def right_padded(tokens: Tokens, padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask of a batch, padded on the right to its longest text.

    Texts `[5 6] [7]` and padding 0 give the ids `5 6 | 7 0` and the mask `1 1 | 1 0`.

    Returns:
        Ids [texts, tokens] int64, and 1 at real tokens [texts, tokens] int64.
    """
    mask = np.arange(tokens.length.max()) < tokens.length[:, None]  # [texts, tokens]
    ids = np.full(mask.shape, padding, np.int64)
    ids[mask] = tokens.ids
    return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


def distinct(tokens: Tokens) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which texts have other tokens than all before them, and which of those each text is the same as.

    Texts `[5 6] [7] [5 6]` give the rows `0 1`, and `0 1 0`.

    Returns:
        Rows [distinct texts], in order, and positions among these [texts].
    """
    place: dict[bytes, int] = {}
    ends = zip(tokens.start.tolist(), (tokens.start + tokens.length).tolist(), strict=True)
    same = np.fromiter(
        (place.setdefault(tokens.ids[start:stop].tobytes(), len(place)) for start, stop in ends), np.int64, len(tokens)
    )
    # They are numbered as they come up, so the first text of each number comes in the order of the numbers.
    return np.unique(same, return_index=True)[1], same
