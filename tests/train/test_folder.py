"""Which run `--resume auto` continues."""

import csv
from pathlib import Path

import pytest
from tiny import TINY

from plmrs.config import TrainConfig
from plmrs.errors import UserError
from plmrs.model.run import open_run
from plmrs.report import Silent
from plmrs.train.command import train

OPTIONS = {**TINY, "input_type": "id", "windows": "last", "max_epochs": 1, "batch_size": 16}


@pytest.fixture
def trained(small_workspace, small_dataset, tmp_path):
    """Train with some options."""
    places = {"root": small_workspace.root, "runs": tmp_path / "runs"}

    def run(**options) -> None:
        train(TrainConfig.from_flat({**OPTIONS, **places, **options}, dict.fromkeys(options, "flag")), Silent())

    return run


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
