"""Training and evaluation on each split, beside the split done user by user and ranks computed in plain numpy."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from plmrs.config import EvaluateConfig, TrainConfig
from plmrs.data.dataset import Dataset, Histories
from plmrs.evaluate.baselines import item_similarity, neighbour_scores
from plmrs.evaluate.command import evaluate
from plmrs.model.batch import Batch
from plmrs.model.load import load_run
from plmrs.model.recommender import Recommender
from plmrs.model.run import open_run
from plmrs.report import Silent, Table
from plmrs.train.command import train
from plmrs.workspace import Workspace

SEVENTH, NINTH = (1_704_067_200 + 86_400 * day for day in (6, 8))
SPLITS = {
    "leave_one_out": {"method": "leave_one_out"},
    "ratio": {"method": "ratio", "shares": [0.6, 0.2, 0.2], "seed": 5},
    "temporal": {"method": "temporal", "times": [SEVENTH, NINTH]},
}
RULES = {
    "leave_one_out": "split: leave-one-out, test: each user's last item",
    "ratio": "split: ratio 0.6 / 0.2 / 0.2 of users, seed 5",
    "temporal": "split: temporal, trained on what is before 2024-01-07, test: each user's last item from 2024-01-09 on",
}


class Trained:
    """A run on a data set of 120 items, and what the split makes of it when users are gone through one by one.

    Attributes:
        train: The items of each trained user.
        held_out: Inputs and target of each user, for val and test.
        read: The targets of each training step.
        notes: What stands below the table of training.
    """

    def __init__(self, method: str, workspace: Workspace, dataset: Dataset, read: list[int], table: Table) -> None:
        self.method, self.workspace, self.dataset, self.read, self.notes = method, workspace, dataset, read, table.notes
        whole, times = dataset.histories, dataset.times
        users = [
            list(zip(whole.items[a:b].tolist(), times[a:b].tolist(), strict=True))
            for a, b in zip(whole.start, whole.stop, strict=True)
        ]
        items = [[item for item, _ in user] for user in users]
        if method == "leave_one_out":
            self.train = [user[:-2] for user in items]
            self.held_out = {
                "val": [(user[:-2], user[-2]) for user in items],
                "test": [(user[:-1], user[-1]) for user in items],
            }
        elif method == "ratio":
            draws = np.random.default_rng(5).random(40)
            dealt = sorted(range(40), key=lambda user: draws[user])
            self.train = [items[user] for user in dealt[:24]]
            self.held_out = {
                "val": [(items[user][:-1], items[user][-1]) for user in dealt[24:32]],
                "test": [(items[user][:-1], items[user][-1]) for user in dealt[32:]],
            }
        else:
            self.train = [[item for item, time in user if time < SEVENTH] for user in users]
            stretches = {"val": (SEVENTH, NINTH), "test": (NINTH, np.inf)}
            self.held_out = {}
            for part, (begin, end) in stretches.items():
                lasts = [[nth for nth, (_, time) in enumerate(user) if begin <= time < end][-1:] for user in users]
                self.held_out[part] = [
                    (user[: nth[0]], user[nth[0]]) for user, nth in zip(items, lasts, strict=True) if nth
                ]

    def counts(self) -> np.ndarray:
        """How often each item occurs in training. [items]"""
        return np.bincount([item for user in self.train for item in user], minlength=121)[1:]


@pytest.fixture(scope="module", params=SPLITS)
def trained(request, make_dataset, tmp_path_factory) -> Trained:
    folder: Path = tmp_path_factory.mktemp(request.param)
    workspace = Workspace(folder / "data", folder / "runs")
    dataset = make_dataset(workspace, "tiny", [f"text {i}" for i in range(120)], split=SPLITS[request.param])
    read: list[int] = []
    loss = Recommender.forward

    def spied(self: Recommender, batch: Batch) -> torch.Tensor:
        targets = batch.windows[:, 1:]
        read.extend(targets[targets > 0].tolist())
        return loss(self, batch)

    sizes = {"sasrec_hidden_size": 16, "sasrec_inner_size": 32, "sasrec_n_layers": 1, "sasrec_seq_len": 5}
    places = {"root": workspace.root, "runs": workspace.runs, "dataset": "tiny", "accelerator": "cpu", "name": "id"}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Recommender, "forward", spied)
        options = {"input_type": "id", "max_epochs": 1, "lr": 0.01, "batch_size": 8, "topk_list": "60"}
        (table,) = train(TrainConfig.from_flat({**places, **sizes, **options}), Silent())
    return Trained(request.param, workspace, dataset, read, table)


def ranks(trained: Trained, part: str) -> np.ndarray:
    """The rank of each held-out target by the saved model."""
    model, _, _ = load_run(trained.workspace, open_run(trained.workspace, "id"))
    vectors = model.items()
    candidates = model.candidates(vectors).detach().numpy()
    found = []
    for inputs, target in trained.held_out[part]:
        states = model.sasrec(vectors[np.array(inputs[-5:]) - 1][None])
        found.append(rank(candidates @ model.queries(states)[0, -1].detach().numpy(), inputs, target))
    return np.array(found)


def rank(scores: np.ndarray, inputs: list[int], target: int) -> int:
    others = np.ones(len(scores), bool)
    others[[target - 1, *(np.array(inputs) - 1)]] = False
    return 1 + int((scores[others] >= scores[target - 1]).sum())


def means(ranks: np.ndarray, k: int) -> dict[str, float]:
    """HR, NDCG and MRR at k."""
    hit = ranks <= k
    gains = {"HR": hit, "NDCG": hit / np.log2(ranks + 1), "MRR": hit / ranks}
    return {f"{name}@{k}": float(np.mean(gain)) for name, gain in gains.items()}


def flat(rows: list[list[int]]) -> Histories:
    stop = np.cumsum([len(row) for row in rows])
    return Histories(np.concatenate(rows).astype(np.int32), np.r_[0, stop[:-1]], stop)


def test_an_epoch_reads_every_training_target_once_and_no_other(trained: Trained) -> None:
    assert sorted(trained.read) == sorted(item for user in trained.train for item in user[1:])


def test_the_softmax_runs_over_what_occurs_in_training(trained: Trained) -> None:
    model, _, _ = load_run(trained.workspace, open_run(trained.workspace, "id"))
    assert 0 < (trained.counts() == 0).sum() < 120
    np.testing.assert_array_equal(model.items.in_training.numpy(), trained.counts() > 0)


def test_validation_ranks_the_validation_targets(trained: Trained) -> None:
    result = json.loads((trained.workspace.runs / "id" / "metrics.json").read_text())
    expected = means(ranks(trained, "val"), 60)
    assert 0 < expected["HR@60"] < 1
    assert {name: result["validation"][name] for name in expected} == pytest.approx(expected)
    said = f"{trained.method.replace('_', '-').capitalize()} validation targets of {len(trained.held_out['val'])} users"
    assert said in trained.notes[0]


def test_evaluation_ranks_the_test_targets(trained: Trained) -> None:
    places = {"root": trained.workspace.root, "runs": trained.workspace.runs, "accelerator": "cpu"}
    tables = evaluate("id", EvaluateConfig.from_flat({**places, "topk_list": "30 60"}), Silent())
    result = json.loads((trained.workspace.runs / "id" / "test_metrics.json").read_text())
    test, counts = trained.held_out["test"], trained.counts()
    popularity = np.array([rank(counts, inputs, target) for inputs, target in test])
    similarity = item_similarity(flat(trained.train), 120)
    neighbours = neighbour_scores(flat([inputs for inputs, _ in test]), similarity).toarray()
    by_name = {
        "SASRec id": ranks(trained, "test"),
        "popularity": popularity,
        "ItemKNN, decayed history": np.array([rank(neighbours[user], *test[user]) for user in range(len(test))]),
    }
    for name, found in by_name.items():
        expected = means(found, 30) | means(found, 60)
        assert 0 < expected["HR@60"] < 1
        assert result["groups"][0]["metrics"][name] == pytest.approx(expected)
    new = sum(counts[target - 1] == 0 for _, target in test)
    users = {group["group"]: group["users"] for group in result["groups"]}
    assert (users["all"], users["never in training"]) == (len(test), new)
    notes = "\n".join(tables[-1].notes)
    assert RULES[trained.method] in notes
    assert f"users: {len(test)}{'' if len(test) == 40 else ' of 40'}, each counted once" in notes
    assert f"({(counts == 0).sum()} never in training)" in notes
