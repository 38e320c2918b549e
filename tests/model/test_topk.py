"""The best k items against a whole, stable sort in numpy."""

import numpy as np
import pytest
import torch

from plmrs.model import topk
from plmrs.model.topk import top_items


def sorted_whole(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The first k of each row of a stable descending sort; what is masked is no item."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    values = np.take_along_axis(scores, order, 1)
    short = ((0, 0), (0, k - order.shape[1]))
    values = np.pad(values, short, constant_values=-np.inf)
    return values, np.where(np.isinf(values), -1, np.pad(order, short))


def in_chunks(scores: np.ndarray, width: int):
    for first in range(0, scores.shape[1], width):
        yield first, torch.from_numpy(scores[:, first : first + width])


def check(scores: np.ndarray, k: int, width: int) -> None:
    values, columns = top_items(in_chunks(scores, width), k)
    wanted_values, wanted_columns = sorted_whole(scores, k)
    assert columns.dtype == torch.int64
    np.testing.assert_array_equal(columns.numpy(), wanted_columns)
    np.testing.assert_array_equal(values.numpy(), wanted_values)


def drawn(kind: str, users: int, items: int) -> np.ndarray:
    """Scores of users: all different, of few values, or one value; a third of them masked, and of user 0 all but 2."""
    random = np.random.default_rng(5)
    shape = users, items
    scores = {
        "different": random.normal(size=shape),
        "few values": random.integers(0, 6, size=shape) / 7,
        "one value": np.full(shape, 0.25),
    }[kind].astype(np.float32)
    scores[random.random(shape) < 1 / 3] = -np.inf
    scores[0, 2:] = -np.inf
    return scores


@pytest.mark.parametrize("kind", ["different", "few values", "one value"])
@pytest.mark.parametrize("width", [1, 7, 64, 1000])
@pytest.mark.parametrize("k", [1, 10, 300])
def test_the_best_are_those_of_a_stable_sort_for_any_chunks(kind, width, k):
    check(drawn(kind, 9, 257), k, width)


@pytest.mark.parametrize("kind", ["different", "few values", "one value"])
@pytest.mark.parametrize("width", [500, 1300])
def test_rows_settled_a_few_at_a_time_change_nothing(monkeypatch, kind, width):
    monkeypatch.setattr(topk, "TIED_BYTES", 4 * 2 * width)
    check(drawn(kind, 9, 1300), 10, width)


@pytest.mark.parametrize("groups", [2, 8, 16])
@pytest.mark.parametrize("kind", ["different", "few values", "one value"])
def test_groups_of_columns_change_nothing(monkeypatch, kind, groups):
    """Of two columns and of more; the 1,501 columns leave some over."""
    monkeypatch.setattr(topk, "GROUPS", groups)
    for k in (1, 10, 45, 400):
        check(drawn(kind, 4, 1501), k, 1501)


def test_more_than_there_are_leaves_places_empty():
    values, columns = top_items([(0, torch.tensor([[0.5, 0.75]])), (2, torch.tensor([[-torch.inf]]))], 5)
    assert columns.tolist() == [[1, 0, -1, -1, -1]]
    assert values.tolist() == [[0.75, 0.5, -np.inf, -np.inf, -np.inf]]


def test_no_users_are_no_rows_and_no_chunks_an_error():
    values, columns = top_items([(0, torch.zeros(0, 30))], 3)
    assert values.shape == columns.shape == (0, 3)
    with pytest.raises(ValueError, match="no chunk"):
        top_items([], 3)
