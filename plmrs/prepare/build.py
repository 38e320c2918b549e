"""From a source to a prepared data set in memory: which items and interactions stay, and in what order."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from plmrs.config import FilterOptions, SplitOptions
from plmrs.data.dataset import Histories
from plmrs.data.order import by_user_and_time
from plmrs.data.sources.source import Interactions, Source, Tally
from plmrs.data.split_choice import LEAST_ITEMS, LEAST_TO_TRAIN
from plmrs.errors import UserError
from plmrs.prepare.filters import Log, filtered

RULES = (
    "Items with no text are dropped, and interactions with an item that has none; all others are candidates, taken or"
    " not, unless keep_items says otherwise.",
    "Interactions are in the order of (user, time, row in the file); a stable sort decides nothing else.",
    "Users stand in the order in which the source first names them, items in the order of the item table.",
    "Filters follow one another: repeats (drop_repeats); users with fewer than min_item_seq_len items, never less than"
    " the split needs; the sample of users; the core of users and items (k_core), in which users keep min_item_seq_len;"
    " items before a user's last max_item_seq_len; items that nobody took (keep_items).",
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
        times: When each was taken, or its row in the file. [interactions]
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


def check(filters: FilterOptions, split: SplitOptions) -> None:
    """See, before anything is read, that the filters leave something to train on.

    Raises:
        UserError: --max-item-seq-len is less than the split needs.
    """
    longest, least = filters.max_item_seq_len, LEAST_TO_TRAIN[split.split]
    if longest is not None and longest < least:
        raise UserError(
            f"--max-item-seq-len {longest} leaves nothing to train on: {split.split} needs {least} items of a user.",
            f"Give at least {least}, or None to keep whole histories.",
        )


def build(source: Source, filters: FilterOptions, split: SplitOptions) -> Prepared:
    """Keep what the rules keep, in their order.

    Raises:
        UserError: no item has a text, no interaction's item is known, or no user has enough items.
    """
    worded = pc.not_equal(source.items.column("text"), "")
    catalogue = source.items.filter(worded).combine_chunks()
    if not catalogue.num_rows:
        raise UserError("No item has a text.", "Name the columns of the text with --text-fields.")
    columns = {name: _whole(catalogue.column(name)) for name in catalogue.column_names}
    numbers, unknown = _numbered(source, columns["item_id"])
    log = _ordered(source.interactions, numbers, catalogue.num_rows)
    log, kept, dropped = filtered(log, filters, LEAST_ITEMS[split.split])
    lengths = log.lengths()
    present = lengths > 0
    renumbered = np.cumsum(kept, dtype=np.int32)
    items = log.items if kept.all() else renumbered[log.items - 1]
    columns = {name: column.filter(pa.array(kept)) for name, column in columns.items()}
    return Prepared(
        columns["item_id"],
        columns["text"],
        columns.get("category"),
        source.interactions.user_ids.filter(pa.array(present)),
        items,
        log.times,
        np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[present])]),
        (Tally("items", source.items.num_rows - catalogue.num_rows, "they have no text"), *unknown, *dropped),
    )


def _numbered(source: Source, item_ids: pa.StringArray) -> tuple[NDArray[np.int32], list[Tally]]:
    """The item number of each id that interactions have, 0 for none [items taken]; an account of those without."""
    taken = source.interactions.item_ids
    numbers = pc.fill_null(pc.index_in(taken, item_ids), -1).to_numpy() + np.int32(1)
    listed = pc.is_in(taken, source.items.column("item_id").combine_chunks()).to_numpy(zero_copy_only=False)
    rows = np.bincount(source.interactions.items, minlength=len(taken))
    if not rows[numbers > 0].any():
        example = taken[int(source.interactions.items[0])] if len(source.interactions.items) else "none"
        raise UserError(
            f"No interaction has an item of the item table: it has ids such as {item_ids[0]}, they have {example}.",
            "Check that both files write ids alike, or name the columns with --item-column.",
        )
    return numbers, [
        Tally("interactions", int(rows[~listed].sum()), "their item is not in the item table"),
        Tally("interactions", int(rows[listed & (numbers == 0)].sum()), "their item has no text"),
    ]


def _ordered(raw: Interactions, numbers: NDArray[np.int32], n_items: int) -> Log:
    """The interactions with a known item, in their order."""
    items = numbers[raw.items]
    users, times, rows = raw.users, raw.times, None
    if not items.all():
        rows = np.flatnonzero(items)
        users, items = users[rows], items[rows]
        times = None if times is None else times[rows]
    order = by_user_and_time(users, len(raw.user_ids), times)
    if times is None:  # what is left is the row in the file
        times = np.arange(len(raw.items)) if rows is None else rows
    times = times[order]
    if times.dtype == np.float64:  # not for integers: NumPy before 2.1 rounds large ones
        times = np.floor(times)
    n_users = len(raw.user_ids)
    owners = np.repeat(np.arange(n_users, dtype=np.int32), np.bincount(users, minlength=n_users))  # users[order]
    return Log(owners, items[order], times.astype(np.int64, copy=False), n_users, n_items)


def _whole(column: pa.ChunkedArray) -> pa.StringArray:
    """A column in one piece."""
    return pa.concat_arrays(column.chunks)
