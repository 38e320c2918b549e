"""Training rows: windows cut from histories, as positions in one flat array, and batches gathered from it."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from plmrs.data.dataset import Histories


def training_windows(
    histories: Histories, length: int, which: Literal["last", "all"], rng: np.random.Generator | None = None
) -> Histories:
    """Cut histories into windows of at most `length` + 1 items, so that `length` positions have a next item.

    `last` keeps each user's most recent window. `all` cuts the whole history, from its end backwards; neighbours share
    one item, so every item but a user's first is a target exactly once. With `rng` the cuts of a history longer than a
    window move by a random number of items, so that over the epochs its positions meet contexts of every length.

    Histories without a next item (one item or none) give no window.

    Example: length 2, all: the history `[[7, 8, 9, 4]]` gives the windows `[[8, 9, 4], [7, 8]]`.
    """
    usable = histories.lengths >= 2
    start, stop = histories.start[usable], histories.stop[usable]
    if which == "last":
        return Histories(histories.items, np.maximum(start, stop - length - 1), stop)
    targets = stop - start - 1
    # A history that fits one window is never cut, and of a longer one some window stays whole.
    longest = np.clip(targets - length, 0, length - 1)
    shift = np.zeros_like(targets) if rng is None else rng.integers(0, longest + 1)
    # The first cut leaves `shift` targets behind it as a window of their own.
    behind = Histories(histories.items, (stop - shift - 1)[shift > 0], stop[shift > 0])
    stop = stop - shift
    counts = -(-(stop - start - 1) // length)
    user = np.repeat(np.arange(len(counts)), counts)
    nth = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
    ends = stop[user] - nth * length
    return Histories(
        histories.items,
        np.concatenate([np.maximum(start[user], ends - length - 1), behind.start]),
        np.concatenate([ends, behind.stop]),
    )


def padded(histories: Histories, length: int) -> NDArray[np.int64]:
    """The last `length` items of each history, padded with 0 on the right. [users, ≤ length]

    The width is that of the longest history, at most `length`.

    Example: `[[5, 3, 8], [1]]` with length 2 give `[[3, 8], [1, 0]]`.
    """
    start = np.maximum(histories.start, histories.stop - length)
    width = int((histories.stop - start).max(initial=1))
    position = start[:, None] + np.arange(width)
    real = position < histories.stop[:, None]
    return np.where(real, histories.items[np.where(real, position, 0)], 0).astype(np.int64)
