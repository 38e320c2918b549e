"""An export, used with torch alone, against the recommendations of the model."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from plmrs.config import ExportConfig, RecommendConfig, TrainConfig
from plmrs.data.dataset import Dataset
from plmrs.errors import UserError
from plmrs.export import encoder
from plmrs.export.command import export
from plmrs.model.card import write_card
from plmrs.model.encoder import UserEncoder
from plmrs.model.run import open_run
from plmrs.recommend.trained import load_model
from plmrs.report import Silent
from plmrs.train.command import train
from plmrs.workspace import Workspace, write_json

ALONE = """
import json, sys
{read}
assert not [name for name in sys.modules if name.startswith("plmrs")]
encoder = torch.export.load("user_encoder.pt2").module()
histories = json.loads(sys.stdin.read())
found = []
for history in histories:
    window = torch.zeros(1, {length}, inputs.shape[1])
    window[0, : len(history)] = inputs[history]
    query = encoder(window, torch.tensor([len(history)]))
    scores = (query @ candidates.T)[0]
    scores[history] = -torch.inf
    best = scores.topk(10)
    found.append([best.indices.tolist(), best.values.tolist()])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def workspace(small_workspace: Workspace, small_dataset: Dataset, tiny_bert: Path, tmp_path_factory) -> Workspace:
    """A workspace in which `small` has the runs `cosine` and `dot`."""
    places = Workspace(small_workspace.root, tmp_path_factory.mktemp("exported") / "runs")
    sizes = {"sasrec_hidden_size": 16, "sasrec_inner_size": 32, "sasrec_n_layers": 2, "sasrec_seq_len": 5}
    made = {"dataset": "small", "plm_name": str(tiny_bert), "max_epochs": 1, "accelerator": "cpu", **sizes}
    for name in ("cosine", "dot"):
        places_of = {"root": places.root, "runs": places.runs, "name": name, "similarity": name}
        train(TrainConfig.from_flat({**made, **places_of}), Silent())
    return places


def exported(workspace: Workspace, run: str, **options) -> Path:
    places = {"root": workspace.root, "runs": workspace.runs, "accelerator": "cpu"}
    (table,) = export(run, ExportConfig.from_flat({**places, **options}), Silent())
    folder = options.get("output", workspace.runs / run / "export")
    assert {row[0]: row[1] for row in table.rows} == {path.name: path.stat().st_size for path in folder.iterdir()}
    return folder


@pytest.mark.parametrize(
    ("run", "vectors"), [("cosine", "safetensors"), pytest.param("dot", "npy", marks=pytest.mark.slow)]
)
def test_torch_alone_recommends_what_the_model_does(workspace, tmp_path, run, vectors):
    folder = exported(workspace, run, output=tmp_path / "out", vectors=vectors)
    config = RecommendConfig.from_flat({"root": workspace.root, "runs": workspace.runs, "accelerator": "cpu"})
    model = load_model(run, config.workspace, config.device)
    items = pd.read_parquet(folder / "items.parquet")
    assert items.item_id.tolist() == model.dataset.item_ids()
    assert items.text.tolist() == model.dataset.texts()
    assert items.count_in_training.sum() == len(model.dataset.histories.items) - 2 * model.dataset.n_users

    # The lines that the card tells, then the card's own way of scoring.
    card = (folder / "README.md").read_text(encoding="utf-8")
    read = card.rpartition("```python\n")[2].partition("encoder = ")[0]
    histories = [[17, 4, 256], [0], [5, 9, 11, 2, 599]]
    program = ALONE.format(read=read, length=5)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, input=json.dumps(histories), text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    wanted = model.recommend(histories=[items.item_id[history].tolist() for history in histories])
    for user, (rows, scores) in enumerate(json.loads(done.stdout)):
        ours = wanted[wanted.user == user]
        # Of items with the same text either may stand before the other.
        assert ours.text.tolist() == items.text[rows].tolist()
        np.testing.assert_allclose(ours.score, scores, rtol=1e-4, atol=1e-6)


def test_candidates_of_a_cosine_have_length_one(workspace, tmp_path):
    folder = exported(workspace, "cosine", output=tmp_path / "out", vectors="npy")
    candidates, inputs = np.load(folder / "candidates.npy"), np.load(folder / "inputs.npy")
    np.testing.assert_allclose(np.linalg.norm(candidates, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(inputs / np.linalg.norm(inputs, axis=1, keepdims=True), candidates, rtol=1e-4, atol=1e-6)


def test_an_export_lies_in_the_run_and_is_replaced(workspace):
    folder = exported(workspace, "dot")
    assert (folder / "item_vectors.safetensors").is_file()
    exported(workspace, "dot", vectors="npy")
    assert not (folder / "item_vectors.safetensors").exists()
    facts = json.loads((folder / "export.json").read_text())
    assert facts["run"] == "dot"
    assert facts["items"] == 600
    assert facts["similarity"] == "dot"


def test_a_folder_of_something_else_is_left_alone(workspace, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(UserError, match="no export of plmrs"):
            exported(workspace, "dot", output=place)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("place", [".", "..", "/"])
def test_a_folder_without_a_name_is_refused(workspace, tmp_path, monkeypatch, place):
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    with pytest.raises(UserError, match="has no name of its own"):
        exported(workspace, "dot", output=place)
    assert [path.name for path in tmp_path.iterdir()] == ["below"]


def test_several_devices_are_refused(workspace):
    with pytest.raises(UserError, match="export runs on one device"):
        exported(workspace, "dot", devices="0 1")


def test_an_encoder_with_other_numbers_is_refused(workspace, tmp_path, monkeypatch):
    exporting = torch.export.export

    def changed(module: UserEncoder, *given, **options):
        # What is exported has another number in it than the model that it is compared with.
        other = copy.deepcopy(module)
        with torch.no_grad():
            other.sasrec.norm.bias += 1e-4
            return exporting(other, *given, **options)

    monkeypatch.setattr(encoder.torch.export, "export", changed)
    with pytest.raises(UserError, match="other numbers than the model"):
        exported(workspace, "dot", output=tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_the_card_says_what_the_run_is(workspace):
    card = (workspace.runs / "cosine" / "README.md").read_text(encoding="utf-8")
    metrics = json.loads((workspace.runs / "cosine" / "metrics.json").read_text())
    for part in (
        "library_name: plmrs",
        "# cosine",
        "| data set | small |",
        "| users | 40 |",
        "| licence | not named |",
        "| identity | sha256:",
        "| `sasrec_hidden_size` | 16 |",
        f"{metrics['validation']['NDCG@10']:.4f}",
        'plmrs.load("cosine")',
    ):
        assert part in card
    assert "`accelerator`" not in card


def test_the_card_has_the_test_metrics_with_their_protocol(workspace):
    run = open_run(workspace, "dot")
    every = {
        "by": "all",
        "group": "all",
        "users": 1234,
        "metrics": {"SASRec text": {"HR@10": 0.25, "NDCG@10": 0.125}, "popularity": {"HR@10": 0.0625, "NDCG@10": 0.5}},
        "intervals": {"SASRec text": {"HR@10": [0.2, 0.3]}},
    }
    methods = list(every["metrics"])
    found = {"format": 2, "methods": methods, "groups": [every], "protocol": {"seen items": "masked | all"}}
    write_json(run.folder / "test_metrics.json", found)
    card = write_card(workspace, run).read_text(encoding="utf-8")
    for part in (
        "Test, over 1,234 users:",
        "| method | HR@10 | NDCG@10 |\n| --- | --- | --- |\n| SASRec text | 0.2500 | 0.1250 |\n",
        "| popularity | 0.0625 | 0.5000 |",
        "95 % intervals of SASRec text: HR@10 0.2000 to 0.3000.",
        "- seen items: masked | all",
    ):
        assert part in card
