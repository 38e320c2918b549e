"""Full ranking: the rank of each user's target among all candidates.

Ties count against the model: a target ranks behind every candidate with the same score. A model that gives all items
one score is thus last, not first.

A rank is the same whatever the memory, the number of processes and how the items are cut into chunks. Matrix products
are rounded, and how depends on their shape. So users come in blocks of `USERS`, counted from the first one, and what a
block is multiplied with is `COLUMNS` items, also counted from the first: a chunk is several such products side by side,
and every number comes from the same product wherever the chunks are cut.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from plmrs.data.dataset import Histories
from plmrs.data.splits import HeldOut
from plmrs.model.topk import top_items

USERS = 256
"""Users that are scored together."""
COLUMNS = 1024
"""Items that a block of users is multiplied with at once."""
WIDEST = 32 * COLUMNS
"""Columns of a chunk at most: narrower ones stay in the processor's cache, but wider ones take fewer lists together."""
BYTES = 8
"""What a user and an item of a chunk take: a score, and whether it is below the target's."""


class Scores(Protocol):
    """Scores of all items for a block of users, given a chunk of items at a time; column j is item j + 1."""

    def fill(self, first: int, out: Tensor) -> None:
        """Write the scores of the columns from `first` on. out [users, n] float32"""

    def of(self, columns: Tensor) -> Tensor:
        """Each user's score of one column, but for its rounding what `fill` gives. columns [users] -> [users]"""


Scorer = Callable[[Histories], Scores]
"""Gives the scores of a block of users by what they took before."""


@dataclass(frozen=True)
class Products:
    """Scores that are products of a user's and an item's vector.

    Attributes:
        queries: The users' vectors. [users, H]
        candidates: The items' vectors. [items, H]
    """

    queries: Tensor
    candidates: Tensor

    def fill(self, first: int, out: Tensor) -> None:
        """Write the scores of the columns from `first` on, a multiple of `COLUMNS`. out [users, n]"""
        for start in range(0, out.shape[1], COLUMNS):
            part = out[:, start : start + COLUMNS]
            vectors = self.candidates[first + start : first + start + part.shape[1]]
            torch.mm(self.queries, vectors.T, out=part)

    def of(self, columns: Tensor) -> Tensor:
        """Each user's score of one column. columns [users] -> [users]"""
        products = self.queries.new_empty(len(columns), len(columns))
        # As `fill` does it: the operator would be rounded to bfloat16 within a training of such precision.
        return torch.mm(self.queries, self.candidates[columns].T, out=products).diagonal()


def blocks(users: int, process: int = 0, processes: int = 1) -> list[slice]:
    """The blocks of users that are one process's share.

    Example: with blocks of 256, 600 users are `0:256, 256:512, 512:600`; two processes take one and two of them.
    """
    n = -(-users // USERS)
    mine = range(n * process // processes, n * (process + 1) // processes)
    return [slice(block * USERS, min((block + 1) * USERS, users)) for block in mine]


def new_buffer(n_items: int, memory: int, device: torch.device | str = "cpu") -> Tensor:
    """Room for a chunk of scores, used again for each: a new one would cost more than the scores do.

    Args:
        n_items: Columns there are.
        memory: Bytes that a chunk may take with what is counted in it.
        device: Where it lies.

    Returns:
        The scores, and as many numbers to count with. [2, USERS · n]
    """
    fit = memory // (BYTES * USERS) // COLUMNS * COLUMNS
    return torch.empty(2, USERS * min(n_items, max(COLUMNS, min(fit, WIDEST))), device=device)


def chunks(scores: Scores, users: int, n_items: int, buffer: Tensor) -> Iterator[tuple[int, Tensor]]:
    """The scores of a block of users, a chunk of items after the other, each written over the one before.

    Args:
        scores: Gives them.
        users: The block's.
        n_items: Columns there are.
        buffer: See `new_buffer`.

    Yields:
        The first column, and the scores from there on. [users, n]
    """
    width = buffer.shape[1] // USERS
    for first in range(0, n_items, width):
        n = min(width, n_items - first)
        part = buffer[0, : users * n].view(users, n)
        scores.fill(first, part)
        yield first, part


def mask_seen(scores: Tensor, seen: Histories, targets: Tensor | None = None, first: int = 0) -> Tensor:
    """Set the scores of items a user took before to -inf, in place, except the target's.

    Args:
        scores: Column j is item first + j + 1. [users, n]
        seen: Items each user took before the target. [users]
        targets: Column of each user's target among all columns; None masks all that is seen. [users] int64
        first: Where a chunk of columns begins.

    Example: items 1 and 3 seen by user 0, item 2 by user 1, whose target it is again:

        scores [[.5, .1, .9],   seen [[1, 3],   targets [1,   ->  [[-inf, .1, -inf],
                [.2, .7, .3]]         [2]]               1]        [  .2, .7,   .3]]
    """
    rows, places = seen.flat()
    columns = seen.items[places].astype(np.int64) - 1 - first
    here = (columns >= 0) & (columns < scores.shape[1])
    rows, columns = rows[here], columns[here]
    if targets is not None:
        others = columns != targets.cpu().numpy()[rows] - first
        rows, columns = rows[others], columns[others]
    scores[torch.from_numpy(rows).to(scores.device), torch.from_numpy(columns).to(scores.device)] = -torch.inf
    return scores


def target_ranks(scores: Tensor, targets: Tensor) -> Tensor:
    """The rank of each target: 1 + the number of other candidates whose score is not below its own.

    Args:
        scores: Masked candidates are -inf. [users, items]
        targets: Column of each user's target. [users] int64

    Returns:
        Ranks from 1. A NaN is below nothing, so it too counts against the model. [users] int64

    Example:
        scores [[.3, .9, .3],   targets [0,   ->  [3,
                [.5, .1, .4]]            0]        1]
    """
    return _not_below(scores, scores.gather(1, targets[:, None]))


def _not_below(scores: Tensor, own: Tensor, space: Tensor | None = None) -> Tensor:
    """How many scores of each row are not below `own`. ([users, n], [users, 1]) -> [users] int64"""
    # Floats add up faster than booleans, and are exact up to 2^24.
    below = torch.empty_like(scores) if space is None else space[: scores.numel()].view_as(scores)
    torch.lt(scores, own, out=below)
    return scores.shape[1] - below.sum(dim=1).long()


def rank_block(
    scores: Scores,
    users: HeldOut,
    n_items: int,
    buffer: Tensor,
    mask: bool = True,
    left_out: Tensor | None = None,
    k: int = 0,
) -> tuple[Tensor, Tensor | None]:
    """The rank of each target of a block of users and, where asked for, the best k items of each.

    A target's score has to be known before its chunk comes. It is computed on its own and compared, to the bit, with
    the chunk's when that comes; where rounding made one differ, the block is counted once more.

    Args:
        scores: Of the block.
        users: What the block's users took, and their targets. At most `USERS`
        n_items: Columns there are.
        buffer: See `new_buffer`.
        mask: Whether items that were taken before get no rank.
        left_out: Items that are no candidates. [items] bool
        k: Length of the lists, 0 for none.

    Returns:
        Ranks [users] int64, and columns of the best items, -1 behind the last one [users, k] int64.
    """
    targets = torch.from_numpy(users.targets.astype(np.int64) - 1).to(buffer.device)

    def masked() -> Iterator[tuple[int, Tensor]]:
        for first, part in chunks(scores, len(users), n_items, buffer):
            if left_out is not None:
                part.masked_fill_(left_out[first : first + part.shape[1]], -torch.inf)
            yield first, mask_seen(part, users.inputs, targets, first) if mask else part

    # Where all items are one chunk, the target's is there before anything is counted.
    guess = None if buffer.shape[1] >= USERS * n_items else scores.of(targets)[:, None].float()
    own, ranks, columns = _count(masked(), targets, guess, buffer[1], k)
    if guess is not None and not torch.equal(own.nan_to_num(), guess.nan_to_num()):
        _, ranks, _ = _count(masked(), targets, own, buffer[1], 0)
    return ranks, columns


def _count(
    parts: Iterator[tuple[int, Tensor]], targets: Tensor, guess: Tensor | None, space: Tensor, k: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The targets' scores as the chunks have them [users, 1], their ranks by a guess of these [users], the best k."""
    ranks, own = torch.zeros_like(targets), torch.zeros(len(targets), 1, device=targets.device)

    def counted() -> Iterator[tuple[int, Tensor]]:
        for first, part in parts:
            n = part.shape[1]
            places = targets[:, None] - first
            here = (places >= 0) & (places < n)
            own.copy_(torch.where(here, part.gather(1, places.clamp(0, n - 1)), own))
            ranks.add_(_not_below(part, own if guess is None else guess, space))
            yield first, part

    if k:
        return own, ranks, top_items(counted(), k)[1]
    deque(counted(), maxlen=0)
    return own, ranks, None
