"""Evaluation through its door, beside ranks computed from the saved weights in plain numpy."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pyarrow import parquet

from plmrs.config import EvaluateConfig, TrainConfig
from plmrs.data.dataset import Dataset
from plmrs.data.splits import split_of, training_counts
from plmrs.errors import UserError
from plmrs.evaluate import baselines, methods
from plmrs.evaluate.command import evaluate
from plmrs.model import ranking
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


def found(workspace: Workspace, run: str = "text", split: str = "test") -> dict:
    return json.loads((workspace.runs / run / f"{split}_metrics.json").read_text())


def test_a_model_whose_blocks_train_is_ranked_by_its_own_vectors(workspace, small_dataset, tiny_bert):
    options = {"dataset": "small", "plm_name": str(tiny_bert), "name": "tuned", "max_epochs": 1, "accelerator": "cpu"}
    sizes = {"sasrec_hidden_size": 16, "sasrec_inner_size": 32, "sasrec_n_layers": 1, "whitening": 8}
    places = {"root": workspace.root, "runs": workspace.runs}
    tuned = TrainConfig.from_flat({**options, **sizes, **places, "plm_last_n_unfreeze": 1, "plm_lr": 1e-2})
    train(tuned, Silent())
    evaluate("tuned", configured(workspace), Silent())
    assert found(workspace, "tuned")["methods"] == [
        "SASRec text",
        "popularity",
        "ItemKNN, last item",
        "ItemKNN, decayed history",
    ]
    model, _, _ = load_run(workspace, open_run(workspace, "tuned"))
    rows = torch.tensor([3, 0, 41])
    torch.testing.assert_close(model.items(rows), model.items()[rows], rtol=1e-4, atol=1e-5)


def by_hand(workspace: Workspace, masked: bool, last: int = 1, allowed: np.ndarray | None = None) -> np.ndarray:
    """Ranks of each user's item `last` from the end, by the saved weights and a loop over users; 0 for no candidate."""
    model, dataset, _ = load_run(workspace, open_run(workspace, "text"))
    vectors = model.items()
    candidates = model.candidates(vectors).detach().numpy()
    ranks = []
    for start, stop in zip(dataset.histories.start, dataset.histories.stop, strict=True):
        history = dataset.histories.items[start : stop - last]
        target = dataset.histories.items[stop - last]
        states = model.sasrec(vectors[history[-5:] - 1][None])
        scores = candidates @ model.queries(states)[0, -1].detach().numpy()
        others = np.ones(len(scores), bool) if allowed is None else allowed.copy()
        if not others[target - 1]:
            ranks.append(0)
            continue
        others[target - 1] = False
        if masked:
            others[history - 1] = False
        ranks.append(1 + int((scores[others] >= scores[target - 1]).sum()))
    return np.array(ranks)


def check(metrics: dict, ranks: np.ndarray) -> None:
    assert metrics["HR@30"] == pytest.approx((ranks <= 30).mean())
    assert metrics["NDCG@30"] == pytest.approx(np.where(ranks <= 30, 1 / np.log2(ranks + 1), 0).mean())
    assert metrics["MRR@3"] == pytest.approx(np.where(ranks <= 3, 1 / ranks, 0).mean())


def test_the_run_s_card_has_the_metrics(workspace):
    card = workspace.runs / "text" / "README.md"
    card.unlink(missing_ok=True)
    evaluate("text", configured(workspace, topk_list="7"), Silent())
    value = found(workspace)["groups"][0]["metrics"]["SASRec text"]["NDCG@7"]
    assert f"{value:.4f}" in card.read_text()
    assert "ties: against the model" in card.read_text()
    assert "- weights: model.safetensors" in card.read_text()


@pytest.mark.parametrize(("masked", "users", "columns"), [(True, 7, 64), (False, 256, 1024)])
def test_metrics_are_those_of_the_saved_model_ranked_by_hand(
    workspace, small_dataset, monkeypatch, masked, users, columns
):
    for name, value in {"USERS": users, "COLUMNS": columns, "WIDEST": columns}.items():
        monkeypatch.setattr(ranking, name, value)
    monkeypatch.setattr(methods, "USERS", users)
    monkeypatch.setattr(baselines, "COLUMNS", columns)
    evaluate("text", configured(workspace, mask_seen=masked, topk_list="3 30"), Silent())
    check(found(workspace)["groups"][0]["metrics"]["SASRec text"], by_hand(workspace, masked))


def test_the_validation_split_and_candidates_of_training(workspace, small_dataset):
    histories = small_dataset.histories
    counts = training_counts(split_of(small_dataset).train, 600)
    tables = evaluate(["text"], configured(workspace, split="val", candidates="train", topk_list="3 30"), Silent())
    result, ranks = found(workspace, split="val"), by_hand(workspace, True, last=2, allowed=counts > 0)
    assert 0 < (ranks == 0).sum() < 40
    check(result["groups"][0]["metrics"]["SASRec text"], ranks[ranks > 0])
    notes = "\n".join(tables[-1].notes)
    assert result["split"] == "val"
    assert f"users: {(ranks > 0).sum()} of 40, each counted once; {(ranks == 0).sum()} left out" in notes
    assert f"the {(counts > 0).sum()} items that occur in training, of 600" in notes
    assert {group["group"] for group in result["groups"]}.isdisjoint({"never in training"})
    evaluate("text", configured(workspace, candidates="interacted", topk_list="3 30"), Silent())
    taken = np.isin(np.arange(1, 601), histories.items)
    check(found(workspace)["groups"][0]["metrics"]["SASRec text"], by_hand(workspace, True, allowed=taken))


def test_candidates_of_a_file(workspace, small_dataset, tmp_path):
    allowed = np.arange(600) % 2 == 0
    (tmp_path / "ids.txt").write_text("\r\n".join(np.array(small_dataset.item_ids())[allowed]) + "\n\n")
    evaluate("text", configured(workspace, candidates=str(tmp_path / "ids.txt"), topk_list="3 30"), Silent())
    ranks = by_hand(workspace, True, allowed=allowed)
    check(found(workspace)["groups"][0]["metrics"]["SASRec text"], ranks[ranks > 0])
    (tmp_path / "ids.txt").write_text("n3\n\nN4\nx\n")
    with pytest.raises(UserError) as error:
        evaluate("text", configured(workspace, candidates=str(tmp_path / "ids.txt")), Silent())
    assert error.value.message.endswith("ids.txt: there is no item 'N4', and 1 more id is not there either.")
    assert error.value.remedy == "Did you mean n4?"
    with pytest.raises(UserError, match="there is no such file") as error:
        evaluate("text", configured(workspace, candidates="trian"), Silent())
    assert error.value.remedy == "Did you mean train?"
    for content, message in ((b"\n", "holds no id"), (b"\xff\xfe\x00", "no UTF-8 text")):
        (tmp_path / "ids.txt").write_bytes(content)
        with pytest.raises(UserError, match=message):
            evaluate("text", configured(workspace, candidates=str(tmp_path / "ids.txt")), Silent())
    never = np.flatnonzero(~np.isin(np.arange(1, 601), small_dataset.histories.items))[0]
    (tmp_path / "ids.txt").write_text(small_dataset.item_ids()[never])
    with pytest.raises(UserError, match="the target of none of 40 users"):
        evaluate("text", configured(workspace, candidates=str(tmp_path / "ids.txt")), Silent())


def test_the_tables_name_protocol_methods_and_the_users_whose_target_is_new(workspace, small_dataset):
    tables = evaluate("text", configured(workspace), Silent())
    methods = [row[0] for row in tables[0].rows]
    assert methods == [
        "SASRec text",
        "popularity",
        "cosine to the last item",
        "ItemKNN, last item",
        "ItemKNN, decayed history",
    ]
    assert tables[0].columns == ["method", "HR@5", "HR@10", "HR@20", "NDCG@5", "NDCG@10", "NDCG@20"]
    for column in range(1, 7):
        values = [row[column] for row in tables[0].rows]
        best = {row for row, value in enumerate(values) if value == max(values)} if min(values) < max(values) else set()
        assert {row for row, place in tables[0].bold if place == column} == best
    histories = small_dataset.histories
    trained = {int(i) for a, b in zip(histories.start, histories.stop, strict=True) for i in histories.items[a : b - 2]}
    new = sum(int(i) not in trained for i in histories.items[histories.stop - 1])
    assert 0 < new < 40
    result = found(workspace)
    assert result["format"] == 2
    assert result["methods"] == methods
    first, second = result["groups"][:2]
    assert (first["by"], first["group"], first["users"]) == ("all", "all", 40)
    assert (second["by"], second["group"], second["users"]) == ("popularity of the target", "never in training", new)
    # Items nobody took in training have no popularity: all those targets tie, and ties are against the model.
    assert set(second["metrics"]["popularity"].values()) == {0.0}
    low, high = first["intervals"]["SASRec text"]["HR@20"]
    assert low <= first["metrics"]["SASRec text"]["HR@20"] <= high
    assert set(result["lists"]["popularity"]) == {"coverage@20", "popularity@20", "gini@20"}
    notes = "\n".join(tables[-1].notes)
    for part in ("leave-one-out, test", "40, each counted once", "all 600 items", "masked", "against the model"):
        assert part in notes


def test_no_bootstrap_no_intervals(workspace, small_dataset):
    tables = evaluate("text", configured(workspace, bootstrap=0), Silent())
    assert "intervals" not in found(workspace)["groups"][0]
    assert tables[1].title == "MRR"


def test_two_processes_and_little_memory_find_the_same(workspace, small_dataset, tmp_path):
    files = {"output": f"{tmp_path / 'a.json'},{tmp_path / 'a.csv'}", "per_user": str(tmp_path / "a.parquet")}
    evaluate("text", configured(workspace, **files), Silent())
    alone, users = found(workspace), parquet.read_table(tmp_path / "a.parquet").to_pylist()
    evaluate("text", configured(workspace, devices="0 1", memory="4MiB", **files), Silent())
    assert found(workspace) | {"evaluated": ""} == alone | {"evaluated": ""}
    assert parquet.read_table(tmp_path / "a.parquet").to_pylist() == users
    assert [row["rank"] for row in users] == by_hand(workspace, True).tolist()
    assert users[3]["user_id"] == "u3"
    targets = small_dataset.histories.items[small_dataset.histories.stop - 1]
    assert [row["target_id"] for row in users] == [f"n{target - 1}" for target in targets]
    assert {row["run"] for row in users} == {"SASRec text"}
    assert json.loads((tmp_path / "a.json").read_text())["groups"] == alone["groups"]


def test_several_runs_are_one_table_with_the_significance_of_their_difference(workspace, small_dataset, tmp_path):
    sizes = {"sasrec_hidden_size": 16, "sasrec_inner_size": 32, "sasrec_n_layers": 1, "sasrec_seq_len": 5}
    options = {"dataset": "small", "input_type": "id", "name": "id", "max_epochs": 1, "accelerator": "cpu", **sizes}
    train(TrainConfig.from_flat({**options, "root": workspace.root, "runs": workspace.runs}), Silent())
    evaluate("text", configured(workspace), Silent())
    alone = found(workspace)
    per_user = tmp_path / "users.parquet"
    tables = evaluate(["id", "text"], configured(workspace, per_user=str(per_user)), Silent())
    assert [row[0] for row in tables[0].rows][:3] == ["id", "text", "popularity"]
    # What lies in a run's folder afterwards is as if it had been evaluated alone.
    assert found(workspace) | {"evaluated": ""} == alone | {"evaluated": ""}
    assert found(workspace, "id")["methods"][0] == "SASRec id"
    difference = tables[-1].rows[0]
    own = [found(workspace, run)["groups"][0]["metrics"][f"SASRec {run}"]["NDCG@10"] for run in ("id", "text")]
    assert difference[0] == "id - text"
    assert difference[1] == pytest.approx(own[0] - own[1])
    assert parquet.read_table(per_user).column("run").to_pylist() == ["id"] * 40 + ["text"] * 40
    with pytest.raises(UserError, match="Run id is named twice"):
        evaluate(["id", str(workspace.runs / "id")], configured(workspace), Silent())
    checkpoints = [str(workspace.runs / "id" / "checkpoints" / name) for name in ("best.ckpt", "last.ckpt")]
    tables = evaluate(checkpoints, configured(workspace), Silent())
    assert [row[0] for row in tables[0].rows][:2] == ["id best.ckpt", "id last.ckpt"]


def test_a_run_called_as_a_row_to_compare_with_or_as_another_run_keeps_its_own_numbers(workspace, tmp_path):
    evaluate("text", configured(workspace, topk_list="600"), Silent())
    own = [found(workspace)["groups"][0]["metrics"][row] for row in ("SASRec text", "popularity")]
    assert own[0] != own[1]
    shutil.copytree(workspace.runs / "text", workspace.runs / "popularity")
    shutil.copytree(workspace.runs / "text", tmp_path / "other" / "text")
    elsewhere = str(tmp_path / "other" / "text")
    options = {"topk_list": "600", "output": str(tmp_path / "all.json")}
    tables = evaluate(["text", "popularity", elsewhere], configured(workspace, **options), Silent())
    rows = [str(row[0]) for row in tables[0].rows]
    # Names and weights' names of two are the same, so that only the whole path tells them apart.
    assert rows[:3] == [str(workspace.runs / "text" / "model.safetensors"), "run popularity", rows[2]]
    assert rows[2] == f"{elsewhere}/model.safetensors"
    assert rows[3] == "popularity"
    metrics = json.loads((tmp_path / "all.json").read_text())["groups"][0]["metrics"]
    assert [metrics[row] for row in rows[:4]] == [own[0]] * 3 + [own[1]]
    assert found(workspace, "popularity")["groups"][0]["metrics"]["SASRec text"] == own[0]
    shutil.rmtree(workspace.runs / "popularity")


def test_a_cut_off_beyond_all_items_counts_every_target(workspace):
    evaluate("text", configured(workspace, topk_list=f"600 {10**12}"), Silent())
    result = found(workspace)
    everyone, lists = result["groups"][0], result["lists"]["SASRec text"]
    assert everyone["metrics"]["SASRec text"][f"HR@{10**12}"] == 1.0
    assert everyone["intervals"]["SASRec text"][f"HR@{10**12}"] == [1.0, 1.0]
    for name in ("NDCG", "MRR"):
        for part in ("metrics", "intervals"):
            own = everyone[part]["SASRec text"]
            assert own[f"{name}@{10**12}"] == pytest.approx(own[f"{name}@600"], rel=1e-12)
    assert lists[f"coverage@{10**12}"] == 1.0


def test_runs_of_different_data_sets_are_not_compared(workspace, small_dataset, tmp_path):
    shutil.copytree(workspace.runs / "text", workspace.runs / "other")
    manifest = json.loads((workspace.runs / "other" / "manifest.json").read_text())
    changed = json.dumps(manifest | {"dataset": "large", "dataset_fingerprint": "abc"})
    (workspace.runs / "other" / "manifest.json").write_text(changed)
    with pytest.raises(UserError, match=r"different data sets \(small [0-9a-f]+ and large abc\)"):
        evaluate(["text", "other"], configured(workspace), Silent())
    shutil.rmtree(workspace.runs / "other")


def test_a_suffix_is_refused_before_the_run_is_read(workspace, small_dataset):
    with pytest.raises(UserError, match="suffix"):
        evaluate("there is none", configured(workspace, output="a.txt"), Silent())


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
