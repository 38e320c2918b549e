"""What a job does, before it does it: groups of blocks that fit in memory, and the states between them."""

from __future__ import annotations

from dataclasses import dataclass

from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm, Precision

COPIES = 4
"""Units of states in memory at once: read ahead, at work, and two to be written."""


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
        activations: What a batch takes beside weights.
        unit: States of the largest unit of work.
    """

    embeddings: int
    block: int
    norm: int
    activations: int
    unit: int


def sizes(plm: Plm, precision: Precision, tokens_a_unit: int) -> Sizes:
    """What a PLM takes, by its configuration."""
    from plmrs.plm.pieces import piece_bytes
    from plmrs.plm.precision import DTYPES
    from plmrs.plm.run import TOKENS_A_BATCH

    dtype = DTYPES[precision]
    block = piece_bytes(plm, 0, 1, dtype, embeddings=False)
    last = piece_bytes(plm, plm.n_blocks - 1, plm.n_blocks, dtype, embeddings=False)
    return Sizes(
        embeddings=piece_bytes(plm, 0, 0, dtype),
        block=block,
        norm=last - block,
        # A block's parameters are about 12 H², its largest activations about 12 H a token.
        activations=TOKENS_A_BATCH * block // plm.hidden_size,
        unit=tokens_a_unit * plm.hidden_size * 4,  # They come out of the PLM as float32.
    )


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
    block = sizes.block + sizes.norm * (stop == plm.n_blocks) if stop > (start or 0) else 0
    least = max(block, sizes.embeddings if start is None else 0)
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


def _weights(plm: Plm, sizes: Sizes, first: int, stop: int, from_ids: bool) -> int:
    return (stop - first) * sizes.block + sizes.embeddings * from_ids + sizes.norm * (stop == plm.n_blocks)
