"""Who is trained on what, and what is held out.

Leave-one-out: of a history of n items the last is the test target, the one before it the validation target, and the
first n - 2 are trained on. What the model may see of a user when it predicts a target is everything before it.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from plmrs.data.dataset import Histories

HeldOut = Literal["val", "test"]


def training_histories(histories: Histories) -> Histories:
    """Each user's items before the validation target.

    Example: histories `[[5, 3, 8, 2], [1, 4, 6]]` give `[[5, 3], [1]]`.
    """
    return Histories(histories.items, histories.start, histories.stop - 2)


def training_counts(histories: Histories, n_items: int) -> NDArray[np.int64]:
    """How often each item occurs in the training part of the histories. [items]

    Example: histories `[[5, 3, 8, 2], [1, 4, 5]]` of 8 items give `[1, 0, 1, 0, 1, 0, 0, 0]`.
    """
    _, places = training_histories(histories).flat()
    return np.bincount(histories.items[places] - 1, minlength=n_items)


def held_out(histories: Histories, split: HeldOut) -> tuple[Histories, NDArray[np.int32]]:
    """Each user's items before the target, and the target itself. ([users] histories, [users] int32)

    Example: histories `[[5, 3, 8, 2], [1, 4, 6]]`, test: `[[5, 3, 8], [1, 4]]` and `[2, 6]`; val: `[[5, 3], [1]]` and
    `[8, 4]`.
    """
    target = histories.stop - (1 if split == "test" else 2)
    return Histories(histories.items, histories.start, target), histories.items[target]
