"""Which run is continued, and how far; a run's folder from its beginning."""

import csv
import json
import tempfile
from functools import partial
from pathlib import Path

import pytest
import torch
from tiny import TINY

from plmrs.config import TrainConfig
from plmrs.errors import UserError
from plmrs.model.run import open_run

OPTIONS = {**TINY, "input_type": "id", "windows": "last", "max_epochs": 1, "batch_size": 16}


@pytest.fixture
def trained(training):
    """Train with some options."""
    return partial(training, OPTIONS)


def killed(folder: Path) -> None:
    """Make a run what it is when it is killed behind its first epoch."""
    for name in ("metrics.json", "model.safetensors"):
        (folder / name).unlink()


def epochs(folder: Path) -> list[int]:
    with (folder / "metrics.csv").open() as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


def names(runs: Path) -> set[str]:
    return {path.parent.name for path in runs.glob("*/config.yaml")}


def test_auto_continues_the_unfinished_run_of_the_same_options(trained, tmp_path):
    runs = tmp_path / "runs"
    trained(resume="auto")
    killed(runs / "small-id")
    trained(resume="auto", max_epochs=2)
    assert names(runs) == {"small-id"}
    assert epochs(runs / "small-id") == [1, 2]
    assert (runs / "small-id" / "metrics.json").is_file()


def test_auto_begins_anew_when_options_differ_or_the_run_is_finished(trained, tmp_path):
    runs = tmp_path / "runs"
    trained(lr=0.01)
    killed(runs / "small-id")
    trained(lr=0.02, resume="auto")
    assert names(runs) == {"small-id", "small-id-2"}
    trained(lr=0.02, resume="auto")  # that one is finished
    assert names(runs) == {"small-id", "small-id-2", "small-id-3"}
    trained(lr=0.01, resume="auto")  # the first one still is not
    assert names(runs) == {"small-id", "small-id-2", "small-id-3"}
    assert open_run(TrainConfig.from_flat({"runs": runs}).workspace.open(), "small-id").metrics["epochs"] == 1


def test_auto_keeps_to_the_name_it_is_given(trained, tmp_path):
    runs = tmp_path / "runs"
    trained()
    killed(runs / "small-id")
    trained(name="mine", resume="auto")
    trained(name="mine", resume="auto")
    assert names(runs) == {"small-id", "mine", "mine-2"}
    with pytest.raises(UserError, match="There is a run mine already"):
        trained(name="mine")


def test_a_run_that_validation_ended_is_over_unless_patience_grows(trained, tmp_path):
    folder = tmp_path / "runs" / "one"
    trained(name="one", max_epochs=40, early_stop_patience=1, lr=0.1)
    done, result = epochs(folder), (folder / "metrics.json").read_bytes()
    assert len(done) < 40
    trained(resume="one")
    assert epochs(folder) == done
    assert (folder / "metrics.json").read_bytes() == result
    killed(folder)  # when all was trained, and only the result was missing
    trained(resume="one")
    assert epochs(folder) == done
    best = json.loads(result)
    assert json.loads((folder / "metrics.json").read_text())["validation"] == best["validation"]
    trained(resume="one", early_stop_patience=3)
    assert len(epochs(folder)) > len(done)


def test_a_run_that_was_moved_knows_how_good_its_best_epoch_was(trained, tmp_path):
    trained(name="one", lr=1e-12)  # no epoch is better than the first
    (tmp_path / "runs").rename(tmp_path / "moved")
    trained(resume="one", runs=tmp_path / "moved", max_epochs=3)
    result = json.loads((tmp_path / "moved" / "one" / "metrics.json").read_text())
    assert (result["best_epoch"], result["epochs"]) == (1, 3)
    state = torch.load(tmp_path / "moved" / "one" / "checkpoints" / "best.ckpt", weights_only=True)
    assert state["epoch"] == 0


def test_a_run_s_folder_is_whole_or_not_there(trained, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("plmrs.model.run.write_json", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trained(name="one")
    assert not [path for path in (tmp_path / "runs").iterdir() if path.suffix != ".lock"]
    trained(name="one")


def test_checkpoints_are_written_beside_their_place(trained, tmp_path, monkeypatch):
    # From a folder for temporary files they would have to be copied, and half a copy would look like a whole one.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    trained(name="one")
    assert (tmp_path / "runs" / "one" / "checkpoints" / "last.ckpt").is_file()
