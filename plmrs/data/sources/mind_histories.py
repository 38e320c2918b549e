"""What each MIND user read, put together from histories that repeat and clicks that follow.

A file repeats a user's history in all of the user's rows, and the next part's file may repeat it again, or bring one
that already holds the clicks of this part. The rules (`RULES`) take each click once in all these cases.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from plmrs.data.order import by_user_and_time
from plmrs.data.sources.mind_behaviors import Impressions, Ints
from plmrs.data.sources.mind_ids import Numbers
from plmrs.data.sources.source import Interactions, Tally

RULES = (
    "Of the histories beside a user's impressions the longest text is taken, once; of equally long ones the first.",
    "The clicked impressions of all parts follow it in order of time, equal times in file order.",
    "A click seen beside a shorter history than the one taken is left out when that history holds its item; so is a"
    " first click on the item that the history ends with.",
    "A history has no times: its items carry the time of the user's first impression.",
    "A part whose first rows have no -0 or -1 behind what was shown does not say what was clicked.",
)
AT_ONCE = 1 << 16


def join(seen: Impressions) -> tuple[Interactions, tuple[Tally, ...]]:
    """What each user read, by the rules, all histories before all clicks; and an account of what was left out."""
    n_users = len(seen.user_ids)
    longest = np.zeros(n_users, np.int32)
    np.maximum.at(longest, seen.owners, seen.sizes)
    histories = np.flatnonzero(seen.sizes == longest[seen.owners])
    best = np.full(n_users, -1)
    best[seen.owners[histories[::-1]]] = histories[::-1]  # of several assignments to one place the last one stays
    first_time = np.full(n_users, np.iinfo(np.int64).max)
    np.minimum.at(first_time, seen.users, seen.times)

    having = np.flatnonzero(best >= 0)
    which, places = _rows(seen, best[having])
    owners, taken = having.astype(np.int32)[which], seen.histories[places]
    click_users, click_times = seen.users[seen.click_rows], seen.times[seen.click_rows]
    # Clicks in their order: who has few clicks beside a long history need not be sorted again with it.
    order = by_user_and_time(click_users, n_users, click_times)
    click_users, click_times, clicks = click_users[order], click_times[order], seen.clicks[order]
    shorter = np.flatnonzero(seen.beside[seen.click_rows[order]] < longest[click_users])
    held = np.zeros(len(clicks), bool)
    held[shorter] = _held(clicks[shorter], best[click_users[shorter]], seen)
    ends = np.full(n_users, -1, np.int32)
    ends[owners] = taken  # here too
    held[_repeats_at_the_end(click_users, clicks, held, ends)] = True
    users = np.concatenate([owners, click_users[~held]])
    items = np.concatenate([taken, clicks[~held]])
    times = np.concatenate([first_time[owners], click_times[~held]])
    dropped = (
        Tally("clicks", int(held.sum()), "the user's history holds them already"),
        Tally("history items", _lost(seen, best, users, items), "they stand only in another part's history"),
    )
    return Interactions(users, seen.user_ids, items, seen.item_ids, times), dropped


def _held(items: Numbers, histories: Ints, seen: Impressions) -> NDArray[np.bool_]:
    """Whether each item stands in the history beside it. [n]

    Example: items `[4, 4]` and histories that hold `[7, 4]` and `[7]` give `[True, False]`.
    """
    found = np.zeros(len(items), bool)

    def search(first: int) -> None:
        part = slice(first, first + AT_ONCE)
        which, places = _rows(seen, histories[part])
        found[first + which[seen.histories[places] == items[part][which]]] = True

    with ThreadPoolExecutor() as pool:
        list(pool.map(search, range(0, len(items), AT_ONCE)))
    return found


def _rows(seen: Impressions, which: Ints) -> tuple[Numbers, Ints]:
    """Of the items of some histories in turn: which of these each is from, and its place in `seen.histories`."""
    lengths = np.diff(seen.starts)[which]
    begin = seen.starts[which] - (np.cumsum(lengths) - lengths)
    owners = np.repeat(np.arange(len(which), dtype=np.int32), lengths)
    places = np.arange(lengths.sum())
    places += np.repeat(begin, lengths)
    return owners, places


def _repeats_at_the_end(users: Numbers, items: Numbers, held: NDArray[np.bool_], ends: Numbers) -> Ints:
    """The clicks that are their user's first, of those not `held`, on the item that the user's history ends with.

    Args:
        users: Whose clicks they are, in order of users and times. [clicks]
        items: What was clicked. [clicks]
        held: The clicks left out already. [clicks]
        ends: The item that each user's history ends with, -1 without one. [users]
    """
    left = np.flatnonzero(~held)
    first = left[np.flatnonzero(np.diff(users[left], prepend=-1))]
    return first[items[first] == ends[users[first]]]  # type: ignore[no-any-return]


def _lost(seen: Impressions, best: Ints, users: Numbers, items: Numbers) -> int:
    """How many items of histories that were not taken are not among what their user read."""
    others = np.flatnonzero(best[seen.owners] != np.arange(len(seen.owners)))

    def lost(first: int) -> Ints:
        chosen = others[first : first + AT_ONCE]
        own = seen.owners[chosen]
        which, places = _rows(seen, chosen)
        beside = seen.starts[best[own]][which] + places - seen.starts[chosen][which]
        # Nearly always the taken history goes on from the other one, and nothing is lost. (A shorter text may have more
        # items: what then lies behind the taken history differs, or would not be lost.)
        differing = np.zeros(len(own), bool)
        differing[which[seen.histories[places] != seen.histories[np.minimum(beside, len(seen.histories) - 1)]]] = True
        looked_at = differing[which]
        if not looked_at.any():
            return np.zeros(0, np.int64)
        pairs = own[which[looked_at]], seen.histories[places[looked_at]]
        lost_ones = ~_paired(pairs, (users, items), len(best))
        return pairs[0][lost_ones].astype(np.int64) * len(seen.item_ids) + pairs[1][lost_ones]

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lost, range(0, len(others), AT_ONCE)))
    return len(np.unique(np.concatenate([np.zeros(0, np.int64), *found])))


def _paired(pairs: tuple[Numbers, Numbers], among: tuple[Numbers, Numbers], n_users: int) -> NDArray[np.bool_]:
    """Whether each pair of user and item is one of the others. [pairs]"""
    asked = np.zeros(n_users, bool)
    asked[pairs[0]] = True
    relevant = asked[among[0]]  # few users are asked for, and a hash table of all pairs would be large
    width = 1 + max(int(part.max(initial=0)) for part in (pairs[1], among[1]))
    keys = pa.array(pairs[0].astype(np.int64) * width + pairs[1])
    others = pa.array(among[0][relevant].astype(np.int64) * width + among[1][relevant])
    return pc.is_in(keys, value_set=others).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
