"""What the page says, compared with the data set and with scores worked out in plain numpy."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from plmrs.data.splits import split_of, training_counts
from plmrs.evaluate.report.item_map import POINTS, axes_of, sampled
from plmrs.model.load import load_run
from plmrs.model.run import open_run


@pytest.fixture(scope="module")
def ranked(shown: Any) -> Any:
    """All scores of the run's model, its data set and its split."""
    model, dataset, _ = load_run(shown.workspace, open_run(shown.workspace, "shop-id"))
    split = split_of(dataset)
    scores = torch.cat(list(model.scores(split.test.inputs, 100))).numpy()
    return scores, dataset, split


def test_users_are_told_as_they_are(shown: Any, ranked: Any) -> None:
    _, dataset, split = ranked
    ids = dataset.user_ids()
    items = shown.content["items"]["id"]
    assert len(shown.content["users"]) == 30
    for user in shown.content["users"]:
        row = split.test.users.tolist().index(ids.index(user["id"]))
        inputs = split.test.inputs.take(slice(row, row + 1))
        taken = dataset.item_ids_of(inputs.items[inputs.start[0] : inputs.stop[0]])
        assert user["taken"] == len(taken)
        assert [items[item] for item in user["history"]] == taken[-10:]
        assert items[user["target"]] == dataset.item_ids()[split.test.targets[row] - 1]


def test_recommendations_are_the_best_items_not_taken_before(shown: Any, ranked: Any) -> None:
    scores, dataset, split = ranked
    ids, item_ids = dataset.user_ids(), dataset.item_ids()
    items = shown.content["items"]["id"]
    for user in shown.content["users"]:
        row = split.test.users.tolist().index(ids.index(user["id"]))
        own, target = scores[row].copy(), int(split.test.targets[row]) - 1
        inputs = split.test.inputs
        seen = inputs.items[inputs.start[row] : inputs.stop[row]] - 1
        own[seen[seen != target]] = -np.inf
        best = np.argsort(-own, kind="stable")[:10]
        assert [items[item] for item in user["recommended"]] == [item_ids[item] for item in best]
        assert user["rank"] == 1 + sum(own >= own[target]) - 1
        assert (user["rank"] <= 10) == (user["target"] in user["recommended"])


def test_items_are_told_as_they_are(shown: Any, ranked: Any) -> None:
    _, dataset, split = ranked
    items, counts = shown.content["items"], training_counts(split.train, dataset.n_items)
    rows = [dataset.item_ids().index(each) for each in items["id"]]
    assert rows == list(range(60))
    assert items["count"] == counts.tolist()
    assert items["text"] == [" ".join(text.split()) for text in dataset.texts()]
    by_category, by_popularity = shown.content["map"]["colours"]
    categories = dataset.categories()
    assert (by_category["by"], by_category["groups"][-1], len(by_category["groups"])) == ("category", "other", 8)
    for row, group in enumerate(by_category["of"]):
        assert by_category["groups"][group] in (categories[row], "other")
    tops = (0, 5, 20, 200)
    assert by_popularity["of"] == [sum(count > top for top in tops) for count in counts.tolist()]


def test_metrics_and_curves_are_those_of_the_run(shown: Any) -> None:
    run = open_run(shown.workspace, "shop-id")
    assert run.test_metrics is not None
    assert shown.content["groups"] == json.loads(json.dumps(run.test_metrics["groups"]))
    (curve,) = shown.content["curves"]
    assert curve["epochs"] == [1, 2]
    assert curve["series"]["loss"] == run.epochs["loss"]
    assert curve["best"] == (run.metrics or {})["best_epoch"]


def test_axes_are_the_principal_components() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 6)) @ np.diag([5, 3, 1, 1, 0.5, 0.1]) + 7
    places, shares = axes_of(rows.astype(np.float32))
    centred = rows - rows.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    for axis in range(2):
        wanted = left[:, axis] * values[axis]
        np.testing.assert_allclose(places[:, axis] * np.sign(places[:, axis] @ wanted), wanted, atol=1e-3)
    np.testing.assert_allclose(shares, (values**2 / (values**2).sum())[:2], rtol=1e-3)


def test_what_is_shown_elsewhere_is_on_the_map() -> None:
    shown = np.array([9, 4, 9, 99_000])
    rows = sampled(100_000, shown)
    assert len(rows) == POINTS == len(set(rows.tolist()))
    assert {4, 9, 99_000} <= set(rows.tolist())
    np.testing.assert_array_equal(rows, sampled(100_000, shown))
    np.testing.assert_array_equal(sampled(5, shown[:2] // 4), np.arange(5))
