"""Distributions as small bars of block characters, which fit a table's cell."""

import numpy as np
from numpy.typing import NDArray

BLOCKS = "▁▂▃▄▅▆▇█"


def bars(counts: NDArray[np.int64]) -> str:
    """A bar a count, the largest the highest; a blank for 0, and never for anything else.

    Example: `[1, 0, 8, 4]` gives `▁ █▄`.
    """
    heights = np.ceil(len(BLOCKS) * counts / max(1, int(counts.max(initial=0)))).astype(int)
    return "".join((" " + BLOCKS)[height] for height in heights)


def doubling(values: NDArray[np.integer]) -> NDArray[np.int64]:
    """How many values lie in each range of the row 0, 1, 2–3, 4–7, 8–15, …, from the least value to the largest.

    Whole numbers fill such ranges evenly; on an axis of equal steps all but a few bars of a long tail would be blank.

    Example: `[1, 1, 2, 9]` gives `[2, 1, 0, 1]`.
    """
    # The binary exponent of 0 is 0, of 1 it is 1, of 2 and 3 it is 2.
    counts = np.bincount(np.frexp(values)[1])
    return counts[int(np.flatnonzero(counts)[0]) :]


def even(values: NDArray[np.integer], most: int) -> NDArray[np.int64]:
    """How many values lie in each of at most `most` ranges of one width, from the least value to the largest.

    Example: `[3, 4, 4, 8]` in at most 3 ranges, which are 3–4, 5–6, 7–8, gives `[3, 0, 1]`.
    """
    least, span = int(values.min()), int(np.ptp(values)) + 1
    return np.bincount((values - least) // -(-span // most))


def sparkline(values: NDArray[np.floating], most: int = 40) -> str:
    """A curve as bars, the least value the lowest and the largest the highest; a blank for what is no number.

    More than `most` values are drawn as the means of stretches of them.

    Example: `[6.0, 3.0, 2.0, 2.5]` gives `█▃▁▂`.
    """
    if len(values) > most:
        values = np.array([stretch.mean() for stretch in np.array_split(values, most)])
    known = values[np.isfinite(values)]
    least, span = (float(known.min()), float(np.ptp(known))) if len(known) else (0.0, 0.0)
    top = len(BLOCKS) - 1
    return "".join(
        BLOCKS[round(top * (value - least) / span) if span else 0] if np.isfinite(value) else " "
        for value in values.tolist()
    )
