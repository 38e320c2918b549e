"""From a source to a prepared data set in memory: which items and interactions stay, and in what order."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from plmrs.config import FilterOptions
from plmrs.data.dataset import Histories
from plmrs.data.sources.source import Source, Tally, encode, first_rows
from plmrs.errors import UserError

SHORTEST = 3
"""Items that leave-one-out needs of a user: one to train on, one to validate, one to test."""

RULES = (
    "Items with no text are dropped, and interactions with an item that has none; all others are candidates, taken or"
    " not.",
    "Interactions are in the order of (user, time, row in the file); a stable sort decides nothing else.",
    "Repeated interactions are kept.",
    "Users stand in the order of their first row, items in the order of the item table.",
    "Users with fewer than min_item_seq_len items (never less than 3, which leave-one-out needs) are dropped, then"
    " histories keep their most recent max_item_seq_len.",
)


@dataclass(frozen=True)
class Prepared:
    """A data set as it will be written.

    Attributes:
        item_ids: The source's ids of items 1…n. [items]
        texts: Their texts, none of them empty. [items]
        categories: Their categories, where the source has them. [items]
        user_ids: The source's ids. [users]
        items: Item numbers, user by user, oldest first. [interactions]
        times: When each was taken. [interactions]
        offsets: User u has `offsets[u]:offsets[u + 1]`. [users + 1]
        dropped: What was left out, and why.
    """

    item_ids: pa.StringArray
    texts: pa.StringArray
    categories: pa.StringArray | None
    user_ids: pa.StringArray
    items: NDArray[np.int32]
    times: NDArray[np.int64]
    offsets: NDArray[np.int64]
    dropped: tuple[Tally, ...]

    @property
    def histories(self) -> Histories:
        """The histories as they will be read back."""
        return Histories(self.items, self.offsets[:-1], self.offsets[1:])


def check(filters: FilterOptions) -> None:
    """See, before anything is read, that the filters leave something to train on.

    Raises:
        UserError: --max-item-seq-len is below 3.
    """
    longest = filters.max_item_seq_len
    if longest is not None and longest < SHORTEST:
        raise UserError(
            f"--max-item-seq-len {longest} leaves nothing to train on: leave-one-out needs {SHORTEST} items of a user.",
            f"Give at least {SHORTEST}, or None to keep whole histories.",
        )


def build(source: Source, filters: FilterOptions) -> Prepared:
    """Keep what the rules keep, in their order.

    Raises:
        UserError: no item has a text, no interaction's item is known, or no user has enough items.
    """
    longest = filters.max_item_seq_len
    worded = pc.not_equal(source.items.column("text"), "")
    catalogue = source.items.filter(worded).combine_chunks()
    if not catalogue.num_rows:
        raise UserError("No item has a text.", "Name the columns of the text with --text-columns.")
    columns = {name: _whole(catalogue.column(name)) for name in catalogue.column_names}

    users, user_ids = encode(source.interactions.column("user_id"))
    items, known_rows, unknown = _numbered(source, columns["item_id"])
    has_times = "time" in source.interactions.column_names
    times = source.interactions.column("time").to_numpy() if has_times else np.arange(len(users))
    users, items, times = users[known_rows], items[known_rows], times[known_rows]

    # Users in the order of their first row: their codes are numbered anew. [users]
    present = np.unique(users)
    first = first_rows(np.searchsorted(present, users), len(present))
    present = present[np.argsort(first)]
    rank = np.empty(len(user_ids), np.int64)
    rank[present] = np.arange(len(present))
    order = np.lexsort((times, rank[users]))  # stable: what is equal stays in file order
    users, items, times = rank[users[order]], items[order], times[order]

    counts = np.bincount(users, minlength=len(present))
    least = max(SHORTEST, filters.min_item_seq_len)
    enough = counts >= least
    if not enough.any():
        raise UserError(
            f"No user has {least} items or more; the longest history has {counts.max()}.",
            f"Lower --min-item-seq-len, to {SHORTEST} at the least.",
        )
    kept = enough[users]
    from_end = np.cumsum(counts)[users] - np.arange(len(users))  # 1 for a user's last item
    recent = from_end <= (longest or len(users))
    lengths = np.minimum(counts[enough], longest or len(users))
    dropped = (
        Tally("items", source.items.num_rows - catalogue.num_rows, "they have no text"),
        *unknown,
        Tally("users", int((~enough).sum()), f"they have fewer than {least} items"),
        Tally("interactions", int((~kept).sum()), "they are of those users"),
        Tally("interactions", int((kept & ~recent).sum()), f"they are older than their user's last {longest}"),
    )
    return Prepared(
        columns["item_id"],
        columns["text"],
        columns.get("category"),
        user_ids.take(pa.array(present[enough])),
        items[kept & recent].astype(np.int32),
        times[kept & recent].astype(np.int64),
        np.concatenate([[0], np.cumsum(lengths)]),
        dropped,
    )


def _numbered(source: Source, item_ids: pa.StringArray) -> tuple[NDArray[np.int64], NDArray[np.bool_], list[Tally]]:
    """The item number of every interaction, and which of them have one [interactions]; an account of the others."""
    codes, values = encode(source.interactions.column("item_id"))
    numbers = pc.fill_null(pc.index_in(values, item_ids), -1).to_numpy()[codes].astype(np.int64) + 1
    listed = pc.is_in(values, source.items.column("item_id").combine_chunks()).to_numpy(zero_copy_only=False)[codes]
    known = numbers > 0
    if not known.any():
        raise UserError(
            f"No interaction has an item of the item table: it has ids such as {item_ids[0]}, they have {values[0]}.",
            "Check that both files write ids alike, or name the columns with --item-column.",
        )
    return (
        numbers,
        known,
        [
            Tally("interactions", int((~listed).sum()), "their item is not in the item table"),
            Tally("interactions", int((listed & ~known).sum()), "their item has no text"),
        ],
    )


def _whole(column: pa.ChunkedArray) -> pa.StringArray:
    """A column in one piece."""
    return pa.concat_arrays(column.chunks)
