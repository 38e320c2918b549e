"""Training through its door, on a small data set and tiny models."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from compared import assert_same_weights, curve
from safetensors.torch import load_file
from tiny import TINY

from plmrs.config import TrainConfig
from plmrs.data.dataset import Dataset
from plmrs.errors import UserError
from plmrs.model.load import load_run
from plmrs.model.run import open_run
from plmrs.report import Silent
from plmrs.train.command import train
from plmrs.workspace import Workspace

OPTIONS = {**TINY, "max_epochs": 2, "batch_size": 8}


@pytest.fixture
def configured(small_workspace: Workspace, small_dataset: Dataset, tmp_path: Path):
    """Make a configuration whose runs lie in the test's own folder."""

    def make(**options) -> TrainConfig:
        places = {"root": small_workspace.root, "runs": tmp_path / "runs"}
        return TrainConfig.from_flat({**OPTIONS, **places, **options}, dict.fromkeys(options, "flag"))

    return make


def test_a_run_leaves_its_configuration_curves_weights_and_result(configured, tmp_path):
    config = configured(input_type="id", max_epochs=4, lr=0.01)
    (table,) = train(config, Silent())
    folder = tmp_path / "runs" / "small-id"
    assert table.title == "Run small-id"
    losses = curve(folder)
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    result = json.loads((folder / "metrics.json").read_text())
    assert result["epochs"] == 4
    best = max(range(4), key=lambda epoch: curve(folder, "NDCG@10")[epoch])
    assert result["best_epoch"] == best + 1
    assert result["validation"]["NDCG@10"] == pytest.approx(curve(folder, "NDCG@10")[best])
    assert {"best.ckpt", "last.ckpt"} == {path.name for path in (folder / "checkpoints").iterdir()}
    saved = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    for name, tensor in load_file(folder / "model.safetensors").items():
        assert torch.equal(tensor, saved[f"recommender.{name}"])
    assert list((folder / "tensorboard").glob("events*"))
    assert "lr: 0.01  # flag" in (folder / "config.yaml").read_text()
    assert TrainConfig.from_flat(yaml.safe_load((folder / "config.yaml").read_text())).flat() == config.flat()
    with pytest.raises(UserError, match="already"):
        train(configured(input_type="id", name="small-id"), Silent())
    repeated = yaml.safe_load((folder / "config.yaml").read_text())
    train(TrainConfig.from_flat(repeated, dict.fromkeys(repeated, f"file {folder / 'config.yaml'}")), Silent())
    assert curve(tmp_path / "runs" / "small-id-2") == losses


@pytest.mark.parametrize("input_type", ["text", "text+id"])
def test_text_trains_on_a_cache_that_is_made_first(configured, tiny_bert, tmp_path, input_type):
    train(configured(input_type=input_type, plm_name=str(tiny_bert), whitening=8), Silent())
    (folder,) = (tmp_path / "runs").glob("small-*")
    assert folder.name == f"small-{input_type.replace('+', '-')}-tiny-bert"
    names = {name.split(".")[1] for name in load_file(folder / "model.safetensors") if name.startswith("items.")}
    assert names == {"projection", "whitening"} | ({"table"} if input_type == "text+id" else set())
    weights = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert not any("text" in name for name in weights)  # frozen vectors are not in a checkpoint


def test_resumed_and_straight_give_the_same_curve(configured, tmp_path):
    train(configured(input_type="id", name="straight", max_epochs=4), Silent())
    train(configured(input_type="id", name="resumed", max_epochs=2), Silent())
    train(configured(resume="resumed", max_epochs=4), Silent())
    runs = tmp_path / "runs"
    assert curve(runs / "resumed") == curve(runs / "straight")
    assert curve(runs / "resumed", "NDCG@10") == curve(runs / "straight", "NDCG@10")
    straight, resumed = (load_file(runs / name / "model.safetensors") for name in ("straight", "resumed"))
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


def test_a_run_goes_on_only_with_the_options_it_was_begun_with(configured):
    train(configured(input_type="id", name="one"), Silent())
    with pytest.raises(UserError, match=r"--lr 0\.001; it cannot go on with 0\.5"):
        train(configured(resume="one", lr=0.5), Silent())
    with pytest.raises(UserError, match="no run or checkpoint two"):
        train(configured(resume="two"), Silent())


def test_a_finished_run_is_left_as_it_is(configured, tmp_path):
    train(configured(input_type="id", name="done"), Silent())
    weights = (tmp_path / "runs" / "done" / "model.safetensors").read_bytes()
    train(configured(resume="last"), Silent())
    assert (tmp_path / "runs" / "done" / "model.safetensors").read_bytes() == weights
    assert json.loads((tmp_path / "runs" / "done" / "metrics.json").read_text())["epochs"] == 2


def test_bf16_trains(configured, tmp_path):
    train(configured(input_type="id", precision="bf16-mixed", max_epochs=3, lr=0.01), Silent())
    losses = curve(tmp_path / "runs" / "small-id")
    assert losses[-1] < losses[0]


def test_training_stops_early(configured, tmp_path):
    train(configured(input_type="id", lr=1e-9, max_epochs=50, early_stop_patience=2), Silent())
    assert len(curve(tmp_path / "runs" / "small-id")) < 50


def test_a_loss_that_is_no_number_is_one_line(configured):
    with pytest.raises(UserError, match="The loss is not a number in epoch 1"):
        train(configured(input_type="id", lr=1e30, weight_decay=0, similarity="dot"), Silent())


def test_the_same_seed_gives_the_same_weights_and_another_does_not(configured, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(configured(input_type="id", name=name, seed=seed), Silent())
    a, b, c = (load_file(tmp_path / "runs" / name / "model.safetensors") for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["items.table.weight"], c["items.table.weight"])


def test_what_a_run_was_trained_on_is_compared_when_it_is_read(configured, make_dataset, tiny_bert, tmp_path):
    workspace = Workspace(tmp_path / "data", tmp_path / "runs")
    make_dataset(workspace, "small", [f"text {i}" for i in range(50)])
    train(configured(root=workspace.root, plm_name=str(tiny_bert), name="run"), Silent())
    model, _, _ = load_run(workspace, open_run(workspace, "run"))
    assert np.isfinite(model.items().detach().numpy()).all()
    manifest = workspace.prepared("small") / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"fingerprint": "', '"fingerprint": "0'))
    with pytest.raises(UserError, match="prepared anew"):
        load_run(workspace, open_run(workspace, "run"))


def test_the_cache_of_another_data_set_is_refused(configured, make_dataset, tiny_bert, tmp_path):
    workspace = Workspace(tmp_path / "data", tmp_path / "runs")
    make_dataset(workspace, "other", [f"text {i}" for i in range(50)])
    train(configured(root=workspace.root, dataset="other", plm_name=str(tiny_bert)), Silent())
    (cache,) = (workspace.caches("other")).glob("*/*.zarr")
    with pytest.raises(UserError, match="holds the items of data set other, not small"):
        train(configured(cache=str(cache), input_type="text"), Silent())


def test_each_process_needs_a_user_to_validate(configured, make_dataset, tmp_path):
    workspace = Workspace(tmp_path / "data", tmp_path / "runs")
    split = {"method": "ratio", "shares": [0.95, 0.025, 0.025], "seed": 1}
    make_dataset(workspace, "one", [f"text {i}" for i in range(50)], split=split)
    with pytest.raises(UserError, match=r"Each of 2 processes .* they are 1\."):
        train(configured(root=workspace.root, dataset="one", input_type="id", devices="0 1"), Silent())
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "kind",
    [
        {"input_type": "id", "accumulate": 2},
        {"input_type": "text", "plm_last_n_unfreeze": 1, "gather_negatives": True, "whitening": 8},
        {"input_type": "text", "plm_last_n_unfreeze": 1, "loss": "ce", "whitening": 8},
    ],
)
def test_two_processes_take_the_steps_one_process_takes_with_twice_the_batch(configured, tmp_path, tiny_bert, kind):
    """Without dropout the gradients of two half batches, averaged, are those of the whole.

    So they are where a target is ranked among the items of a batch, if those of all processes are gathered.
    """
    common = {"sasrec_hidden_dropout": 0.0, "max_epochs": 2, "windows": "last", "plm_name": str(tiny_bert), **kind}
    train(configured(**common, name="one", batch_size=8), Silent())
    two = configured(**common, name="two", batch_size=4, devices="0 1")
    flags = [
        part
        for key, value in two.flat().items()
        if value not in (None, [])
        for part in (f"--{key.replace('_', '-')}", *(map(str, value) if isinstance(value, list) else [str(value)]))
    ]
    done = subprocess.run(
        [Path(sys.executable).with_name("plmrs"), "train", *flags],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 1:") == 1
    one, other = tmp_path / "runs" / "one", tmp_path / "runs" / "two"
    assert curve(one) == pytest.approx(curve(other), rel=1e-5)
    assert curve(one, "NDCG@20") == pytest.approx(curve(other, "NDCG@20"))
    assert_same_weights(other, one)
