"""How often users take an item again."""

import numpy as np

from plmrs.data.dataset import Histories

AT_ONCE = 1 << 20
"""Interactions looked at together: their sorting stays within the processor's cache."""


def repeats(histories: Histories) -> tuple[int, int]:
    """Interactions whose item the user took before, and those whose item the user took just before.

    Example: `[[5, 3, 5, 5], [5, 1]]` gives `(2, 1)`.
    """
    again = just_before = 0
    largest = int(histories.items.max(initial=0)) + 1
    before = np.concatenate([[0], np.cumsum(histories.lengths)])
    user = 0
    while user < len(histories):
        behind = max(user + 1, int(np.searchsorted(before, before[user] + AT_ONCE, side="right")) - 1)
        rows, places = histories.take(slice(user, behind)).flat()
        taken = rows * largest + histories.items[places]
        just_before += int((taken[1:] == taken[:-1]).sum())
        taken.sort()
        again += int((taken[1:] == taken[:-1]).sum())
        user = behind
    return again, just_before
