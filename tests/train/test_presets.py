"""The published settings."""

import pytest

from plmrs.cli import main
from plmrs.config import TrainConfig
from plmrs.model.run import open_run
from plmrs.origins import configure

PUBLISHED = {
    "sasrec_seq_len": 20,
    "tokenized_len": 30,
    "sasrec_hidden_size": 512,
    "sasrec_n_layers": 2,
    "sasrec_n_heads": 2,
    "sasrec_hidden_dropout": 0.1,
    "sasrec_attention_dropout": 0.1,
    "lr": 1e-4,
    "weight_decay": 0.1,
    "batch_size": 64,
}


@pytest.mark.parametrize("name", ["mind", "hm", "bilibili"])
def test_presets_hold_the_published_settings(name):
    config = configure(TrainConfig, {}, preset=name)
    assert {key: config.flat()[key] for key in PUBLISHED} == PUBLISHED
    assert config.origins["lr"] == f"preset {name}"


def test_a_preset_trains(small_workspace, small_dataset, tiny_bert, tmp_path):
    places = ["--root", str(small_workspace.root), "--runs", str(tmp_path / "runs"), "--accelerator", "cpu"]
    assert main(["train", "--preset", "mind", "--plm", str(tiny_bert), *places, "--max-epochs", "1"]) == 0
    run = open_run(TrainConfig.from_flat({"runs": tmp_path / "runs"}).workspace.open())
    assert {key: run.config.flat()[key] for key in PUBLISHED} == PUBLISHED
