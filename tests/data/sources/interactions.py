"""Interactions as plain lists, for comparison with what is written by hand."""

from plmrs.data.sources.source import Interactions


def rows(taken: Interactions) -> list[tuple[str, str, int | float | None]]:
    """User, item and time of each interaction, in the order of the file; no time is None."""
    users, items = taken.user_ids.to_pylist(), taken.item_ids.to_pylist()
    times = [None] * len(taken.users) if taken.times is None else taken.times.tolist()
    return [(users[u], items[i], time) for u, i, time in zip(taken.users, taken.items, times, strict=True)]
