import numpy as np

from plmrs.data.dataset import Histories
from plmrs.data.splits import held_out, training_counts, training_histories

#                      user 0: 5 3 8 2, user 1: 1 4 6
HISTORIES = Histories(np.array([5, 3, 8, 2, 1, 4, 6], np.int32), np.array([0, 4]), np.array([4, 7]))


def lists(histories: Histories) -> list[list[int]]:
    return [histories.items[a:b].tolist() for a, b in zip(histories.start, histories.stop, strict=True)]


def test_training_has_all_but_the_last_two():
    assert lists(training_histories(HISTORIES)) == [[5, 3], [1]]


def test_items_are_counted_in_training_only():
    assert training_counts(HISTORIES, 8).tolist() == [1, 0, 1, 0, 1, 0, 0, 0]


def test_the_last_item_is_tested_after_all_before_it():
    before, targets = held_out(HISTORIES, "test")
    assert lists(before) == [[5, 3, 8], [1, 4]]
    assert targets.tolist() == [2, 6]


def test_the_last_but_one_is_validated_after_the_trained_ones():
    before, targets = held_out(HISTORIES, "val")
    assert lists(before) == lists(training_histories(HISTORIES))
    assert targets.tolist() == [8, 4]


def test_users_can_be_taken_first():
    before, targets = held_out(HISTORIES.take(np.array([1])), "test")
    assert lists(before) == [[1, 4]]
    assert targets.tolist() == [6]
