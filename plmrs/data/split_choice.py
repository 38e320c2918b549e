"""What the options of a split mean for a data set, and what a split needs of it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from plmrs.config import SplitOptions
from plmrs.data.dates import parsed, shown
from plmrs.errors import UserError

LEAST_ITEMS = {"leave_one_out": 3, "ratio": 2, "temporal": 2}
"""Items that a method needs of a user."""
LEAST_TO_TRAIN = {"leave_one_out": 4, "ratio": 2, "temporal": 2}
"""Items that it needs of one user at least, so that an item to train on has a next one."""


def effective_split(options: SplitOptions, times: NDArray[np.int64], dates: bool) -> dict[str, Any]:
    """What the options mean for a data set, and nothing that its method does not read.

    Example: temporal, shares .5, .25, .25, times `[10, 11, 12, 13]`: `{"method": "temporal", "times": [12, 13]}`.

    Args:
        options: Method, shares, seed, times.
        times: When each item was taken. [interactions]
        dates: Whether times are seconds since 1970, so that dates may be given.

    Raises:
        UserError: --split-times are no times, do not ascend, or lie outside of the data's.
    """
    if options.split == "leave_one_out":
        return {"method": "leave_one_out"}
    if options.split == "ratio":
        return {"method": "ratio", "shares": list(options.split_shares), "seed": options.split_seed}
    first, last = int(times.min()), int(times.max())
    remedy = (
        f"Give two ascending times, as in --split-times A,B: later than {shown(first, dates)},"
        f" at most {shown(last, dates)}."
    )
    if options.split_times is None:
        train, val, _ = options.split_shares
        ends = [min(round(share * len(times)), len(times) - 1) for share in (train, train + val)]
        begins = [int(time) for time in np.partition(times, ends)[ends]]
        said = f"--split-shares {','.join(map(str, options.split_shares))}"
    else:
        begins = [parsed(text, dates, remedy) for text in options.split_times]
        said = f"--split-times {','.join(options.split_times)}"
    if begins[0] >= begins[1]:
        val_begin, test_begin = (shown(time, dates) for time in begins)
        raise UserError(
            f"By {said} validation begins at {val_begin} and test, which must be later, at {test_begin}.", remedy
        )
    if not first < begins[0] < begins[1] <= last:
        raise UserError(
            f"{said} leaves a part empty: the data's times go from {shown(first, dates)} to {shown(last, dates)}.",
            remedy,
        )
    return {"method": "temporal", "times": begins}
