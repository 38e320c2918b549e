"""What a job does, before it does it: groups of blocks that fit in memory, and the states between them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plmrs.cache.layout import Layout
from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm, Precision
from plmrs.plm.folder import existing, json_object

COPIES = 4
"""Units of states in memory at once: read ahead, at work, and two to be written."""
ACTIVATIONS = 1.6
"""What a token takes beside weights, as a multiple of a block's bytes through its width: a block's parameters are about
12 H², its activations some 12 H a token, and an allocator keeps more. Measured on a CPU with 4,096 tokens, width 1,024:
1.4 for BERT, 1.5 for Llama, 1.6 for OPT and T5."""


@dataclass(frozen=True)
class Group:
    """Blocks that are held at once.

    Attributes:
        first: The first block.
        stop: The block behind the last: the boundary that the group ends at.
        from_ids: Whether the embeddings come first, and token ids are read; else the states at boundary `first`.
        weights: Bytes of its weights, with the embeddings or the final norm where it has them.
    """

    first: int
    stop: int
    from_ids: bool
    weights: int

    @property
    def name(self) -> str:
        """What of the PLM it is, as `embeddings, 0–3`."""
        last = self.stop - 1
        blocks = [f"{self.first}–{last}" if last > self.first else str(last)] if self.stop > self.first else []
        return ", ".join((["embeddings"] if self.from_ids else []) + blocks)


@dataclass(frozen=True)
class Sizes:
    """Bytes that a PLM takes in a precision.

    Attributes:
        embeddings: Weights before block 0.
        block: Weights of a block.
        norm: Weights behind the last block.
        token: Beside weights, a token of a batch.
        unit: States of the largest unit of work.
        batch: Tokens of the largest batch, padding counted.
        usual: The same, were its number of texts not given.
        longest: Tokens of the longest text.
    """

    embeddings: int
    block: int
    norm: int
    token: int
    unit: int
    batch: int
    usual: int
    longest: int

    @property
    def activations(self) -> int:
        """What the largest batch takes beside weights."""
        return self.token * self.batch


def sizes(
    plm: Plm, precision: Precision, length: NDArray[np.integer[Any]], layout: Layout, batch_size: int | None = None
) -> Sizes:
    """What a PLM takes, by its configuration.

    Args:
        plm: The PLM.
        precision: Of weights and states.
        length: Tokens of each text, the longest first. [texts]
        layout: Their units of work.
        batch_size: Texts a batch; None for a budget of tokens.
    """
    from plmrs.plm.pieces import piece_bytes
    from plmrs.plm.precision import DTYPES
    from plmrs.plm.run import largest_batch

    dtype = DTYPES[precision]
    block = piece_bytes(plm, 0, 1, dtype, embeddings=False)
    last = piece_bytes(plm, plm.n_blocks - 1, plm.n_blocks, dtype, embeddings=False)
    return Sizes(
        embeddings=piece_bytes(plm, 0, 0, dtype),
        block=block,
        norm=last - block,
        token=int(ACTIVATIONS * block / plm.hidden_size) + int(length[0]) * _pair(plm),
        unit=layout.most_tokens * plm.hidden_size * 4,  # They come out of the PLM as float32.
        batch=largest_batch(length, layout.bounds, batch_size),
        usual=largest_batch(length, layout.bounds),
        longest=int(length[0]),
    )


def _pair(plm: Plm) -> int:
    """Bytes for two tokens of a text: their mask, and in T5 the bias by their distance and what becomes of it."""
    heads = int(json_object(existing(plm.folder / "config.json")).get("num_heads", 8)) if plm.model_type == "t5" else 0
    return 4 * (1 + 3 * heads)


def fit_batch(plm: Plm, start: int | None, stop: int, sizes: Sizes, memory: int) -> Sizes:
    """Sizes with the largest batch cut to what memory holds beside all weights, or else to the usual one.

    Smaller batches cost little, but with more groups of blocks the states are written and read more often. Below the
    usual size, which is that of a batch whose number of texts is not given, it is cut only where memory would not hold
    a single block beside it.

    Args:
        plm: The PLM.
        start: The boundary whose states are there already; None to begin with token ids.
        stop: The boundary that is wanted.
        sizes: What the PLM takes.
        memory: Bytes for weights, states and activations.
    """

    def room(weights: int) -> int:
        return (memory - weights - COPIES * sizes.unit) // sizes.token

    beside_a_block = max(room(_largest(plm, sizes, start, stop)), sizes.longest)
    beside_all = room(_weights(plm, sizes, start or 0, stop, start is None))
    return replace(sizes, batch=min(sizes.batch, max(min(sizes.usual, beside_a_block), beside_all)))


def groups(plm: Plm, start: int | None, stop: int, sizes: Sizes, memory: int) -> list[Group]:
    """The blocks up to `stop` in groups as large as memory allows, the embeddings with those that follow or alone.

    Example: blocks of 100 MB, embeddings of 250 MB and 320 MB of memory for weights: the embeddings alone, then three
    blocks at a time.

    Args:
        plm: The PLM.
        start: The boundary whose states are there already; None to begin with token ids.
        stop: The boundary that is wanted.
        sizes: What the PLM takes.
        memory: Bytes for weights, states and activations.

    Raises:
        UserError: the memory holds not even one block.
    """
    for_weights = memory - sizes.activations - COPIES * sizes.unit
    least = _largest(plm, sizes, start, stop)
    if for_weights < least:
        needed = least + sizes.activations + COPIES * sizes.unit
        raise UserError(
            f"{plm.name} needs {needed / 2**30:.2f} GiB for a single block at work; {memory / 2**30:.2f} GiB is given.",
            f"Give --max-memory {-(-needed // 2**20)}MiB at least, or a lower --precision.",
        )
    found: list[Group] = []
    first, from_ids = (0, True) if start is None else (start, False)
    while True:
        end = stop
        while end > first + (not from_ids) and _weights(plm, sizes, first, end, from_ids) > for_weights:
            end -= 1
        found.append(Group(first, end, from_ids, _weights(plm, sizes, first, end, from_ids)))
        if end == stop:
            return found
        first, from_ids = end, False


def _largest(plm: Plm, sizes: Sizes, start: int | None, stop: int) -> int:
    """Bytes of weights that must be held at once in any case: a block's, or the embeddings'."""
    block = sizes.block + sizes.norm * (stop == plm.n_blocks) if stop > (start or 0) else 0
    return max(block, sizes.embeddings if start is None else 0)


def _weights(plm: Plm, sizes: Sizes, first: int, stop: int, from_ids: bool) -> int:
    return (stop - first) * sizes.block + sizes.embeddings * from_ids + sizes.norm * (stop == plm.n_blocks)
