from types import SimpleNamespace

import numpy as np

from plmrs.data.dataset import Histories
from plmrs.data.splits import HeldOut
from plmrs.evaluate.groups import groups_of


def held_out(lengths: list[int], targets: list[int]) -> HeldOut:
    """Users with so many items before a target."""
    items = np.concatenate([[*[1] * n, target] for n, target in zip(lengths, targets, strict=True)]).astype(np.int32)
    places = np.cumsum([n + 1 for n in lengths]) - 1
    return HeldOut(np.arange(len(lengths)), Histories(items, places - lengths, places), places)


def test_every_user_is_in_one_group_of_each_kind():
    counts = np.array([0, 1, 5, 6, 20, 21, 50, 51, 200, 201])
    names = ["b", "a", "a", "c", "c", "d", "e", "f", "g", None]
    users = held_out([1, 5, 6, 10, 11, 20, 21, 50, 51, 99], list(range(1, 11)))
    found = groups_of(users, counts, SimpleNamespace(categories=lambda: names))
    by = {(group.by, group.name): group.rows.tolist() for group in found}
    assert by.pop(("all", "all")) == list(range(10))
    kind = "popularity of the target"
    assert {name: rows for (k, name), rows in by.items() if k == kind} == {
        "never in training": [0],
        "1-5": [1, 2],
        "6-20": [3, 4],
        "21-50": [5, 6],
        "51-200": [7, 8],
        "> 200": [9],
    }
    assert {name: rows for (k, name), rows in by.items() if k == "history length"} == {
        "1-5": [0, 1],
        "6-10": [2, 3],
        "11-20": [4, 5],
        "21-50": [6, 7],
        "> 50": [8, 9],
    }
    # Six largest, the first by name where they are as large; `none` is what has no category.
    assert {name: rows for (k, name), rows in by.items() if k == "category"} == {
        "a": [1, 2],
        "c": [3, 4],
        "b": [0],
        "d": [5],
        "e": [6],
        "f": [7],
        "other": [8, 9],
    }


def test_a_source_s_own_category_other_stays_apart_from_the_rest():
    names = ["other", *"abcdefg", "a"]
    users = held_out([1] * 10, [1, 1, *range(2, 10)])
    found = groups_of(users, np.ones(9, int), SimpleNamespace(categories=lambda: names))
    by = {group.name: group.rows.tolist() for group in found if group.by == "category"}
    assert by["other"] == [0, 1]
    assert by["all others"] == [7, 8]
    assert len(by) == 7


def test_empty_groups_and_missing_categories_are_left_out():
    found = groups_of(held_out([3, 4], [1, 1]), np.array([7]), SimpleNamespace(categories=lambda: None))
    assert [(group.by, group.name) for group in found] == [
        ("all", "all"),
        ("popularity of the target", "6-20"),
        ("history length", "1-5"),
    ]
