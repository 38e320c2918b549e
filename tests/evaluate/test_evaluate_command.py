"""Evaluation through its door, beside ranks computed from the saved weights in plain numpy."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from plmrs.config import EvaluateConfig, TrainConfig
from plmrs.data.dataset import Dataset
from plmrs.errors import UserError
from plmrs.evaluate import command
from plmrs.evaluate.command import evaluate
from plmrs.model.load import load_run
from plmrs.model.run import open_run
from plmrs.report import Silent
from plmrs.train.command import train
from plmrs.workspace import Workspace


@pytest.fixture(scope="module")
def workspace(small_workspace: Workspace, small_dataset: Dataset, tiny_bert: Path, tmp_path_factory) -> Workspace:
    """A workspace in which `small` has a trained run `text`."""
    places = Workspace(small_workspace.root, tmp_path_factory.mktemp("evaluated") / "runs")
    options = {"dataset": "small", "plm_name": str(tiny_bert), "name": "text", "max_epochs": 2, "accelerator": "cpu"}
    sizes = {"sasrec_hidden_size": 16, "sasrec_inner_size": 32, "sasrec_n_layers": 1, "sasrec_seq_len": 5}
    train(TrainConfig.from_flat({**options, **sizes, "root": places.root, "runs": places.runs}), Silent())
    return places


def configured(workspace: Workspace, **options) -> EvaluateConfig:
    return EvaluateConfig.from_flat({"root": workspace.root, "runs": workspace.runs, "accelerator": "cpu", **options})


def found(workspace: Workspace) -> dict:
    return json.loads((workspace.runs / "text" / "test_metrics.json").read_text())


def test_a_model_whose_blocks_train_is_ranked_by_its_own_vectors(workspace, small_dataset, tiny_bert):
    options = {"dataset": "small", "plm_name": str(tiny_bert), "name": "tuned", "max_epochs": 1, "accelerator": "cpu"}
    sizes = {"sasrec_hidden_size": 16, "sasrec_inner_size": 32, "sasrec_n_layers": 1, "whitening": 8}
    places = {"root": workspace.root, "runs": workspace.runs}
    tuned = TrainConfig.from_flat({**options, **sizes, **places, "plm_last_n_unfreeze": 1, "plm_lr": 1e-2})
    train(tuned, Silent())
    evaluate("tuned", configured(workspace), Silent())
    methods = json.loads((workspace.runs / "tuned" / "test_metrics.json").read_text())["metrics"]["all"]
    assert set(methods) == {"SASRec text", "popularity", "ItemKNN, decayed history"}
    model, _, _ = load_run(workspace, open_run(workspace, "tuned"))
    rows = torch.tensor([3, 0, 41])
    torch.testing.assert_close(model.items(rows), model.items()[rows], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("masked", [True, False])
def test_metrics_are_those_of_the_saved_model_ranked_by_hand(workspace, small_dataset, monkeypatch, masked):
    monkeypatch.setattr(command, "SCORE_BYTES", 4 * 600 * 7)  # seven users at a time
    evaluate("text", configured(workspace, mask_seen=masked, topk_list="3 30"), Silent())
    model, dataset, _ = load_run(workspace, open_run(workspace, "text"))
    vectors = model.items()
    candidates = model.candidates(vectors).detach().numpy()
    ranks = []
    for start, stop in zip(dataset.histories.start, dataset.histories.stop, strict=True):
        history = dataset.histories.items[start : stop - 1]
        target = dataset.histories.items[stop - 1]
        states = model.sasrec(vectors[history[-5:] - 1][None])
        scores = candidates @ model.queries(states)[0, -1].detach().numpy()
        others = np.ones(len(scores), bool)
        others[target - 1] = False
        if masked:
            others[history - 1] = False
        ranks.append(1 + int((scores[others] >= scores[target - 1]).sum()))
    ranks = np.array(ranks)
    metrics = found(workspace)["metrics"]["all"]["SASRec text"]
    assert metrics["HR@30"] == pytest.approx((ranks <= 30).mean())
    assert metrics["NDCG@30"] == pytest.approx(np.where(ranks <= 30, 1 / np.log2(ranks + 1), 0).mean())
    assert metrics["MRR@3"] == pytest.approx(np.where(ranks <= 3, 1 / ranks, 0).mean())


def test_the_tables_name_protocol_methods_and_the_users_whose_target_is_new(workspace, small_dataset):
    tables = evaluate("text", configured(workspace), Silent())
    methods = [row[0] for row in tables[0].rows]
    assert methods == ["SASRec text", "popularity", "cosine to the last item", "ItemKNN, decayed history"]
    assert tables[0].columns[1:4] == ["HR@5", "HR@10", "HR@20"]
    histories = small_dataset.histories
    trained = {int(i) for a, b in zip(histories.start, histories.stop, strict=True) for i in histories.items[a : b - 2]}
    new = sum(int(i) not in trained for i in histories.items[histories.stop - 1])
    assert 0 < new < 40
    assert found(workspace)["users"] == {"all": 40, "never in training": new}
    assert f"{new} users whose target training never saw" in tables[1].title
    notes = "\n".join(tables[-1].notes)
    for part in ("leave-one-out, test", "40, each counted once", "all 600 items", "masked", "against the model"):
        assert part in notes
    # Items nobody took in training have no popularity: all those targets tie, and ties are against the model.
    assert tables[1].rows[1][1:] == [0.0] * 9


@pytest.mark.parametrize(
    "what",
    [
        "text",
        "runs/text",
        "runs/text/checkpoints",
        "runs/text/checkpoints/last.ckpt",
        "runs/text/model.safetensors",
    ],
)
def test_a_run_is_found_by_name_folder_and_checkpoint(workspace, monkeypatch, what):
    monkeypatch.chdir(workspace.runs.parent)
    evaluate(what, configured(workspace), Silent())
    weights = found(workspace)["weights"]
    assert weights.endswith({"runs/text/checkpoints": "best.ckpt", "text": "model.safetensors"}.get(what, weights[-5:]))
    if what.endswith((".ckpt", ".safetensors")):
        assert weights.endswith(Path(what).name)


def test_a_name_that_is_no_run_is_one_line(workspace, tmp_path):
    with pytest.raises(UserError) as error:
        evaluate("txt", configured(workspace), Silent())
    assert error.value.remedy == "Did you mean text?"
    (tmp_path / "other.ckpt").write_bytes(b"rubbish")
    with pytest.raises(UserError, match="belongs to no run"):
        evaluate(str(tmp_path / "other.ckpt"), configured(workspace), Silent())
