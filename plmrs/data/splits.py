"""Who is trained on what, and what is held out.

Of a held-out user one item is predicted from all that stand before it; what is trained on depends on the method. A
split shares the histories' flat array: it is a few positions a user, whatever the number of interactions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plmrs.data.dataset import Dataset, Histories
from plmrs.data.dates import are_dates, shown
from plmrs.data.split_choice import LEAST_TO_TRAIN
from plmrs.errors import UserError


@dataclass(frozen=True)
class HeldOut:
    """Users of whom one item is predicted.

    Attributes:
        users: Their rows in the data set. [targets] int64
        inputs: Each one's items before the target, at least one. [targets]
        places: Position of the target in `inputs.items`, the array of all users' items. [targets] int64
    """

    users: NDArray[np.int64]
    inputs: Histories
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.users)

    @property
    def targets(self) -> NDArray[np.int32]:
        """The items to be predicted. [targets]"""
        return self.inputs.items[self.places]

    def take(self, rows: NDArray[np.int64] | slice) -> "HeldOut":
        """Some of them, in that order."""
        return HeldOut(self.users[rows], self.inputs.take(rows), self.places[rows])


@dataclass(frozen=True)
class Split:
    """What may be trained on, and what is held out.

    Attributes:
        train: Histories to train on, a row a trained user.
        val: What training stops by.
        test: What is reported.
        rule: The method in a sentence, to be printed beside a number.
    """

    train: Histories
    val: HeldOut
    test: HeldOut
    rule: str


def make_split(histories: Histories, times: NDArray[np.int64], how: Mapping[str, Any], dates: bool = False) -> Split:
    """Split histories as `effective_split` says.

    Args:
        histories: Each with as many items as `LEAST_ITEMS` says, in the order of their times.
        times: When each of `histories.items` was taken; only temporal reads them. [interactions]
        how: The method and what it depends on.
        dates: Whether times are told as dates.

    Raises:
        UserError: nothing is left to train on, to validate or to test.
    """
    if how["method"] == "leave_one_out":
        split = _leave_one_out(histories)
    elif how["method"] == "ratio":
        split = _ratio(histories, how["shares"], how["seed"])
    else:
        split = _temporal(histories, times, how["times"], dates)
    _check(split, how["method"])
    return split


def split_of(dataset: Dataset) -> Split:
    """The split a data set was prepared with.

    Raises:
        UserError: nothing is left to train on, to validate or to test.
    """
    manifest = dataset.manifest
    times = dataset.times if manifest["split"]["method"] == "temporal" else np.zeros(0, np.int64)
    return make_split(dataset.histories, times, manifest["split"], are_dates(manifest["time_unit"]))


def training_counts(train: Histories, n_items: int) -> NDArray[np.int64]:
    """How often each item occurs in training. [items]

    Example: training on `[[5, 3], [1]]` with 8 items gives `[1, 0, 1, 0, 1, 0, 0, 0]`.
    """
    _, places = train.flat()
    return np.bincount(train.items[places] - 1, minlength=n_items)


def _leave_one_out(histories: Histories) -> Split:
    """Each user's last item is tested, the one before it validated, the others are trained on.

    Example: histories `[[5, 3, 8, 2], [1, 4, 6]]`

        train  [[5, 3],      val  [[5, 3] -> 8,      test  [[5, 3, 8] -> 2,
                [1]]               [1]    -> 4]             [1, 4]    -> 6]
    """
    users = np.arange(len(histories))
    return Split(
        Histories(histories.items, histories.start, histories.stop - 2),
        _held_out(histories, users, histories.stop - 2),
        _held_out(histories, users, histories.stop - 1),
        "leave-one-out, test: each user's last item; the model sees all items before it",
    )


def _ratio(histories: Histories, shares: list[float], seed: int) -> Split:
    """Users are dealt out by chance; the last item of those not trained on is predicted.

    Example: users 0 and 2 of histories `[[5, 3, 8], [1, 4], [6, 2], [9, 7, 3]]` drawn for training, 1 for validation

        train  [[5, 3, 8],   val  [[1] -> 4]   test  [[9, 7] -> 3]
                [6, 2]]
    """
    n = len(histories)
    n_val, n_test = (round(share * n) for share in shares[1:])
    # The order of uniform draws, as a generator's own permutation may change with numpy's releases.
    order = np.argsort(np.random.default_rng(seed).random(n), kind="stable")
    train, val, test = (np.sort(users) for users in np.split(order, [n - n_val - n_test, n - n_test]))
    return Split(
        histories.take(train),
        _held_out(histories, val, histories.stop[val] - 1),
        _held_out(histories, test, histories.stop[test] - 1),
        f"ratio {' / '.join(f'{share:g}' for share in shares)} of users, seed {seed}, test: the last item of users that"
        " are not trained on; the model sees all items before it",
    )


def _temporal(histories: Histories, times: NDArray[np.int64], begins: list[int], dates: bool) -> Split:
    """What is older than the first time is trained on; a user's last item of each later stretch is predicted.

    A user with nothing old is not trained on, one with nothing in a stretch, or nothing before it, is not predicted.

    Example: validation begins at time 30, test at 40

        items  [[5, 3, 8, 2],   times  [[10, 20, 30, 41],
                [1, 4, 6],              [29, 30, 31],
                [7]]                    [44]]

        train  [[5, 3],   val  [[5, 3] -> 8,   test  [[5, 3, 8] -> 2]
                [1]]            [1, 4] -> 6]
    """
    start, stop = histories.start, histories.stop
    val, test = (start + _earlier(histories, times, begin) for begin in begins)
    trained = val > start
    held_out = []
    for first, behind in ((val, test), (test, stop)):
        users = np.flatnonzero((behind > first) & (behind > start + 1))
        held_out.append(_held_out(histories, users, behind[users] - 1))
    since = [shown(begin, dates) for begin in begins]
    return Split(
        Histories(histories.items, start[trained], val[trained]),
        held_out[0],
        held_out[1],
        f"temporal, trained on what is before {since[0]}, test: each user's last item from {since[1]} on; the model"
        " sees all items before it",
    )


def _held_out(histories: Histories, users: NDArray[np.int64], places: NDArray[np.int64]) -> HeldOut:
    """The items at `places` of `users`, and what stands before each."""
    return HeldOut(users, Histories(histories.items, histories.start[users], places), places)


def _earlier(histories: Histories, times: NDArray[np.int64], moment: int) -> NDArray[np.int64]:
    """How many of each user's items are older than a moment. [users]

    Example: times `[[10, 20, 30], [25]]` and moment 25 give `[2, 0]`.
    """
    before = np.zeros(len(times) + 1, np.int64)
    np.cumsum(times < moment, out=before[1:])
    found: NDArray[np.int64] = before[histories.stop] - before[histories.start]
    return found


def _check(split: Split, method: str) -> None:
    """See that each part has something in it."""
    remedies = {
        "leave_one_out": f"It needs users with {LEAST_TO_TRAIN['leave_one_out']} items: choose another --split.",
        "ratio": "Change --split-shares, or choose another --split.",
        "temporal": "Move --split-times, or choose another --split.",
    }
    lacks = {
        "no training item with a next item": not (split.train.lengths > 1).any(),
        "no validation target": not len(split.val),
        "no test target": not len(split.test),
    }
    for lack, is_so in lacks.items():
        if is_so:
            raise UserError(f"--split {method} leaves {lack}.", remedies[method])
