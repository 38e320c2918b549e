"""How often users take an item again."""

import numpy as np
import pytest

from plmrs.data.dataset import Histories
from plmrs.inspect import repeats as module
from plmrs.inspect.repeats import repeats


def histories_of(lists: list[list[int]]) -> Histories:
    offsets = np.cumsum([0, *map(len, lists)])
    return Histories(np.array([item for each in lists for item in each], np.int32), offsets[:-1], offsets[1:])


def test_a_worked_example() -> None:
    assert repeats(histories_of([[5, 3, 5, 5], [5, 1], [], [1, 1, 1]])) == (4, 3)


@pytest.mark.parametrize("at_once", [1, 7, 50, 10_000])
def test_against_a_loop_however_many_are_looked_at_together(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    random = np.random.default_rng(4)
    lists = [random.integers(1, 9, size=random.integers(0, 20)).tolist() for _ in range(60)]
    again = sum(item in taken[:place] for taken in lists for place, item in enumerate(taken))
    direct = sum(taken[place - 1] == taken[place] for taken in lists for place in range(1, len(taken)))
    assert direct > 0
    assert repeats(histories_of(lists)) == (again, direct)
