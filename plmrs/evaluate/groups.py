"""Groups of users that show what a method is good at: by popularity and category of the target, and by history."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from plmrs.data.dataset import Dataset
from plmrs.data.splits import HeldOut

POPULARITY = "popularity of the target"
LENGTH = "history length"
CATEGORY = "category"
CATEGORIES = 6
"""The largest categories, by users, that are shown; the others are one group."""


@dataclass(frozen=True)
class Group:
    """Some of the users.

    Attributes:
        by: What they are told apart by; `all` where they are not.
        name: What they have in common.
        rows: Which of the ranked users. [n] int64
    """

    by: str
    name: str
    rows: NDArray[np.int64]


def groups_of(users: HeldOut, counts: NDArray[np.int64], dataset: Dataset) -> list[Group]:
    """All users, then those of each group that has any.

    Args:
        users: Ranked users.
        counts: Interactions of each item in training. [items]
        dataset: Whose categories.
    """
    found = [Group("all", "all", np.arange(len(users)))]
    found += _by_bounds(POPULARITY, counts[users.targets - 1], (0, 5, 20, 50, 200), "never in training")
    found += _by_bounds(LENGTH, users.inputs.lengths, (5, 10, 20, 50))
    categories = dataset.categories()
    if categories is not None:
        found += _by_category(users, categories)
    return found


def _by_bounds(by: str, values: NDArray[np.int64], tops: Sequence[int], lowest: str = "") -> Iterator[Group]:
    """Groups of values up to each of `tops`, and above the last: tops `5, 10` give `1-5`, `6-10`, `> 10`."""
    names = [lowest or f"1-{tops[0]}", *(f"{low + 1}-{high}" for low, high in pairwise(tops))]
    place = np.searchsorted(tops, values)
    for number, name in enumerate([*names, f"> {tops[-1]}"]):
        rows = np.flatnonzero(place == number)
        if len(rows):
            yield Group(by, name, rows)


def name_of_rest(names: Container[str]) -> str:
    """What the categories are called that stand together; a source may have a category `other` itself."""
    return "other" if "other" not in names else "all others"


def _by_category(users: HeldOut, categories: Sequence[str | None]) -> Iterator[Group]:
    """The largest categories of targets, and the rest."""
    names, code_of_item = np.unique([name or "none" for name in categories], return_inverse=True)
    code = code_of_item[users.targets - 1]
    sizes = np.bincount(code, minlength=len(names))
    largest = np.argsort(-sizes, kind="stable")[:CATEGORIES]
    for number in largest[sizes[largest] > 0]:
        yield Group(CATEGORY, str(names[number]), np.flatnonzero(code == number))
    rest = np.flatnonzero(~np.isin(code, largest))
    if len(rest):
        yield Group(CATEGORY, name_of_rest(names), rest)
