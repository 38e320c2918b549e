"""Texts through a frozen PLM: sorted by length, padded to the longest of a batch, batched by tokens, each text once.

Sorting and padding a batch to its own longest text halves the work on titles against padding all to one length.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm, Precision
from plmrs.plm.load import load_plm, load_tokenizer
from plmrs.plm.pooling import POOLINGS, pool

TOKENS_A_BATCH = 4096
"""Padded tokens of a batch, unless its number of texts is given."""


@dataclass(frozen=True)
class Encoded:
    """What a PLM made of some texts.

    Attributes:
        pooled: An array a pooling. [texts, H] float16
        n_unique: Texts that ran: identical ones run once.
        n_tokens: Tokens that ran, padding not counted.
    """

    pooled: dict[str, NDArray[np.float16]]
    n_unique: int
    n_tokens: int


class Encoder:
    """A PLM and its tokenizer on a device.

    Args:
        plm: Which PLM.
        tokenized_len: Tokens kept of a text, special ones included.
        precision: Of weights and states.
        device: Where it runs.
        batch_size: Texts a batch; None for as many as make `TOKENS_A_BATCH` tokens.

    Raises:
        UserError: the PLM cannot number so many tokens, or its files are damaged.
    """

    def __init__(
        self, plm: Plm, tokenized_len: int, precision: Precision, device: torch.device, batch_size: int | None = None
    ) -> None:
        if tokenized_len > plm.max_tokens:
            raise UserError(f"--tokenized-len {tokenized_len}: {plm.name} reads {plm.max_tokens} tokens at most.")
        self.plm = plm
        self.tokenized_len = tokenized_len
        self.device = device
        self.batch_size = batch_size
        self.precision = precision
        self.tokenizer = load_tokenizer(plm)
        self.model = load_plm(plm, precision, device)
        padding = self.model.config.pad_token_id  # type: ignore[union-attr]
        self.padding = padding if isinstance(padding, int) else 0

    def encode(self, texts: Sequence[str], advance: Callable[[int, int], None] | None = None) -> Encoded:
        """Pool the PLM's final states of each text.

        Args:
            texts: Any texts; an empty one is what the tokenizer makes of it.
            advance: Called after every batch with the texts and the tokens it settled.

        Raises:
            UserError: a vector is no finite float16 number, or a batch does not fit in memory.
        """
        place = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        rows = np.fromiter((place[text] for text in texts), np.int64, len(texts))  # [texts], into the unique ones
        repeats = np.bincount(rows, minlength=len(place))
        ids = tokenise(self.tokenizer, list(place), self.tokenized_len)
        self._check_vocabulary(ids)
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        pooled = {name: np.empty((len(ids), self.plm.hidden_size), np.float16) for name in POOLINGS}
        for batch in batches(lengths, self.batch_size):
            for name, vectors in self._run([ids[row] for row in batch]).items():
                pooled[name][batch] = vectors
            if advance is not None:
                advance(int(repeats[batch].sum()), int(lengths[batch].sum()))
        return Encoded({name: vectors[rows] for name, vectors in pooled.items()}, len(ids), int(lengths.sum()))

    def _check_vocabulary(self, ids: Sequence[Sequence[int]]) -> None:
        largest = max(map(max, ids), default=0)
        known = int(self.model.get_input_embeddings().num_embeddings)  # type: ignore[operator]
        if largest >= known:
            raise UserError(
                f"The tokenizer in {self.plm.folder} gives token {largest}, {self.plm.name} knows {known} tokens.",
                "Copy or download the PLM's folder again: these do not belong together.",
            )

    def _run(self, ids: Sequence[Sequence[int]]) -> dict[str, NDArray[np.float16]]:
        tokens, mask = (part.to(self.device) for part in right_padded(ids, self.padding))
        try:
            with torch.inference_mode():
                hidden = self.model(input_ids=tokens, attention_mask=mask).last_hidden_state
                pooled = pool(hidden, mask)
        except (RuntimeError, MemoryError) as error:
            # On the CPU PyTorch raises a plain RuntimeError for want of memory.
            if not isinstance(error, torch.OutOfMemoryError | MemoryError) and "allocate memory" not in str(error):
                raise
            smaller = max(1, len(ids) // 2)
            raise UserError(
                f"{tuple(tokens.shape)} tokens at once do not fit in the memory of {self.device}.",
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


def tokenise(tokenizer: Any, texts: Sequence[str], length: int) -> list[list[int]]:
    """The token ids of each text, special tokens included, cut to `length`; at least one a text.

    A text without any token (an empty one, for a tokenizer that adds no special tokens) gets the one that begins or
    ends a text, so that every item has a vector.
    """
    if not texts:
        return []
    ids: list[list[int]] = tokenizer(
        list(texts), truncation=True, max_length=length, return_attention_mask=False, return_token_type_ids=False
    )["input_ids"]
    known = (tokenizer.bos_token_id, tokenizer.cls_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    alone = next((token for token in known if token is not None), 0)
    return [row or [alone] for row in ids]


def batches(lengths: NDArray[np.int64], batch_size: int | None = None) -> Iterator[NDArray[np.int64]]:
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


def right_padded(ids: Sequence[Sequence[int]], padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask of a batch, padded on the right to its longest text.

    Returns:
        Ids [texts, tokens] int64, and 1 at real tokens [texts, tokens] int64.
    """
    width = max(map(len, ids))
    tokens = torch.full((len(ids), width), padding, dtype=torch.int64)
    mask = torch.zeros((len(ids), width), dtype=torch.int64)
    for row, text in enumerate(ids):
        tokens[row, : len(text)] = torch.as_tensor(text)
        mask[row, : len(text)] = 1
    return tokens, mask
