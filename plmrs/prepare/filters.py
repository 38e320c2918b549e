"""Which users, items and interactions stay: each filter takes a log, gives a smaller one, and says what it dropped."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from plmrs.config import FilterOptions
from plmrs.data.order import by_user_and_time
from plmrs.data.sources.source import Tally
from plmrs.errors import UserError


@dataclass(frozen=True)
class Log:
    """Interactions in the order of (user, time, row).

    Attributes:
        users: The user of each, 0…n_users-1, ascending. [n] int32
        items: The item of each, 1…n_items. [n] int32
        times: When, in whole units. [n] int64
        n_users: Users, some may have nothing left.
        n_items: Items, some may be nobody's.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    times: NDArray[np.int64]
    n_users: int
    n_items: int

    def lengths(self) -> NDArray[np.int64]:
        """Interactions of each user. [users]"""
        return np.bincount(self.users, minlength=self.n_users)

    def keep(self, rows: NDArray[np.bool_]) -> "Log":
        """Some of the interactions; `rows` says of each whether it stays. [n]"""
        if rows.all():
            return self
        return Log(self.users[rows], self.items[rows], self.times[rows], self.n_users, self.n_items)


def filtered(log: Log, options: FilterOptions, needed: int) -> tuple[Log, NDArray[np.bool_], list[Tally]]:
    """Apply all filters in their order: repeats, short histories, the sample, the core, long histories, items.

    Args:
        log: Interactions with known items, at least one.
        options: The filters.
        needed: Items that the split needs of a user, whatever the options say.

    Returns:
        What stays, which items stay [n_items], and what was dropped. Users and items keep their numbers.

    Raises:
        UserError: no user is left, or a sample is larger than what it is drawn from.
    """
    least = max(needed, options.min_item_seq_len)
    log, dropped = drop_repeats(log, options.drop_repeats)
    lengths = log.lengths()
    if lengths.max() < least:
        raise UserError(
            f"No user has {least} items or more; the longest history has {lengths.max()}.",
            f"Lower --min-item-seq-len, to {needed} at the least.",
        )
    log, short = drop_users(log, lengths >= least, f"they have fewer than {least} items")
    dropped += short
    if options.sample_users is not None:
        log, unsampled = _sample(log, options.sample_users, options.sample_seed)
        dropped += unsampled
    in_core = np.ones(log.n_items, bool)
    if options.k_core is not None:
        log, in_core, outside = core(log, max(options.k_core, least), options.k_core)
        dropped += outside
        if not len(log.items):
            raise UserError(f"No user is left in the core of {options.k_core}.", "Lower --k-core.")
    if options.max_item_seq_len is not None:
        longest = options.max_item_seq_len
        from_end = np.cumsum(log.lengths())[log.users] - np.arange(len(log.users))  # 1 for a user's last item
        recent = from_end <= longest
        older = f"they are older than their user's last {longest}"
        dropped.append(Tally("interactions", int((~recent).sum()), older))
        log = log.keep(recent)
    kept = in_core
    if options.keep_items == "interacted":
        kept = np.bincount(log.items, minlength=log.n_items + 1)[1:] > 0
        dropped.append(Tally("items", int((in_core & ~kept).sum()), "nobody took them"))
    return log, kept, dropped


def drop_repeats(log: Log, which: Literal["none", "consecutive", "all"]) -> tuple[Log, list[Tally]]:
    """Leave out repeats of an item by a user.

    Example: of one user's items `[4, 4, 7, 4]`, consecutive leaves `[4, 7, 4]`, all leaves `[4, 7]`.
    """
    if which == "none" or not len(log.items):
        return log, []
    # Rows of the same user and item one below the other, oldest first; for consecutive ones they are so already.
    grouped = slice(None) if which == "consecutive" else by_user_and_time(log.users, log.n_users, log.items)
    users, items = log.users[grouped], log.items[grouped]
    repeats = np.zeros(len(items), bool)
    repeats[1:] = (users[1:] == users[:-1]) & (items[1:] == items[:-1])
    kept = np.ones(len(items), bool)
    kept[grouped] = ~repeats
    what = "their user took the item before" if which == "all" else "they repeat the item right before them"
    return log.keep(kept), [Tally("interactions", int(repeats.sum()), what)]


def drop_users(log: Log, kept: NDArray[np.bool_], why: str) -> tuple[Log, list[Tally]]:
    """Leave out users; `kept` says of each whether it stays. [users]"""
    rows = kept[log.users]
    gone = int(((log.lengths() > 0) & ~kept).sum())
    return log.keep(rows), [
        Tally("users", gone, why),
        Tally("interactions", int((~rows).sum()), "they are of those users"),
    ]


def core(log: Log, least_of_user: int, least_of_item: int) -> tuple[Log, NDArray[np.bool_], list[Tally]]:
    """Leave out users and items with too few interactions until none is left that has fewer.

    Returns:
        What stays, which items stay [n_items], and what was dropped.

    Example: with 2 of each, users `[[1, 2], [1, 2, 3], [3]]`: user 2 goes, with it item 3 has one user left and goes.
    """
    before, rows = log, len(log.items)
    while True:
        users = log.lengths() >= least_of_user
        items = np.bincount(log.items, minlength=log.n_items + 1)[1:] >= least_of_item
        kept = users[log.users] & items[log.items - 1]
        if kept.all():
            break
        log = log.keep(kept)
    gone = (before.lengths() > 0) & ~users
    why = f"they are not in the core of users with {least_of_user} and items with {least_of_item} interactions"
    return (
        log,
        items,
        [
            Tally("users", int(gone.sum()), why),
            Tally("items", int((~items).sum()), why),
            Tally("interactions", rows - len(log.items), "they are of those users or items"),
        ],
    )


def _sample(log: Log, n: int, seed: int) -> tuple[Log, list[Tally]]:
    present = np.flatnonzero(log.lengths())
    if n > len(present):
        raise UserError(f"--sample-users {n}: there are {len(present)} users with enough items.", "Ask for fewer.")
    # The order of uniform draws, as a generator's own permutation may change with numpy's releases.
    drawn = present[np.argsort(np.random.default_rng(seed).random(len(present)), kind="stable")[:n]]
    kept = np.zeros(log.n_users, bool)
    kept[drawn] = True
    return drop_users(log, kept, f"they are not in the sample of {n}, seed {seed}")
