"""Stable orders of tens of millions of rows, by counting instead of comparing: linear in time, a third of lexsort's."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

BINS = 1 << 21
"""Values told apart in one pass; more would leave the processor's cache."""


def by_user_and_time(
    users: NDArray[np.int32], n_users: int, times: NDArray[np.integer] | NDArray[np.float64] | None
) -> NDArray[np.int32]:
    """The rows in the order of (user, time, row). [n]

    Args:
        users: The user of each row, 0…n_users-1. [n]
        n_users: Users.
        times: The time of each row; None for the order of the rows. [n]

    Example: users `[1, 0, 1, 0]` with times `[5, 7, 3, 7]` give `[1, 3, 2, 0]`.
    """
    order = _counted(users, n_users)
    if times is None or len(order) < 2:
        return order
    owners = np.repeat(np.arange(n_users, dtype=np.int32), np.bincount(users, minlength=n_users))  # users[order]
    moments = times[order]
    late = (moments[1:] < moments[:-1]) & (owners[1:] == owners[:-1])
    if late.any():
        # Only the rows of users whose times do not ascend are sorted by time.
        mixed_up = np.zeros(n_users, bool)
        mixed_up[owners[1:][late]] = True
        places = np.flatnonzero(mixed_up[owners])
        rows = order[places]
        rows = rows[_by_time(times[rows])]
        order[places] = rows[_counted(users[rows], n_users)]
    return order


def _by_time(times: NDArray[np.integer] | NDArray[np.float64]) -> NDArray[np.int32]:
    if times.dtype == np.float64:
        return np.argsort(times, kind="stable").astype(np.int32)
    order = np.arange(len(times), dtype=np.int32)
    # Digit by digit, the last one first; every pass keeps the order of the one before.
    rest = times.astype(np.int64) - int(times.min())
    while True:
        rest, digit = rest // BINS, (rest % BINS).astype(np.int32)
        order = order[_counted(digit[order], BINS)]
        if not rest.any():
            return order


def _counted(keys: NDArray[np.int32], n_keys: int) -> NDArray[np.int32]:
    """The rows in the order of their keys, equal keys in the order of the rows: a counting sort. [n]

    It is what turning coordinates into compressed rows does; SciPy does it in C.
    """
    rows = np.arange(len(keys), dtype=np.int32)
    ones = np.ones(len(keys), np.int8)
    order: NDArray[np.int32] = sparse.coo_array((ones, (keys, rows)), (n_keys, len(keys))).tocsr().indices
    return order
