"""Ctrl-C and SIGTERM: what was trained is kept, and going on from there is as if nothing had happened."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import TINY

from plmrs.config import TrainConfig
from plmrs.report import Silent
from plmrs.train.command import train
from plmrs.train.module import TrainingModule

OPTIONS = {**TINY, "input_type": "id", "max_epochs": 3, "batch_size": 8, "warmup_steps": 20}


class Told(Silent):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)

    warn = say


@pytest.fixture
def configured(small_workspace, small_dataset, tmp_path):
    places = {"root": small_workspace.root, "runs": tmp_path / "runs"}
    return lambda **options: TrainConfig.from_flat({**OPTIONS, **places, **options}, dict.fromkeys(options, "flag"))


@pytest.fixture
def at(monkeypatch):
    """Send a signal to this process while it runs a method of the module for the nth time, once."""

    def send(method: str, n: int, number: int = signal.SIGINT, times: int = 1) -> None:
        usual, calls = getattr(TrainingModule, method), []

        def signalled(self, *arguments):
            calls.append(method)
            if len(calls) == n:
                for _ in range(times):
                    signal.raise_signal(number)
            return usual(self, *arguments)

        monkeypatch.setattr(TrainingModule, method, signalled)

    return send


def rows(folder: Path) -> list[dict[str, float]]:
    """The curves, without what depends on the clock."""
    with (folder / "metrics.csv").open() as file:
        return [{name: value for name, value in row.items() if "second" not in name} for row in csv.DictReader(file)]


def same(one: Path, other: Path) -> bool:
    a, b = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    return rows(one) == rows(other) and a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def straight(small_workspace, small_dataset, tmp_path_factory):
    """The folder of a run that nothing stops, trained once: `straight({"accumulate": 2})`."""
    places = {"root": small_workspace.root, "runs": tmp_path_factory.mktemp("straight")}

    def trained(options: dict[str, int]) -> Path:
        name = "-".join(["straight", *(f"{key}-{value}" for key, value in options.items())])
        if not (places["runs"] / name).exists():
            made = {**OPTIONS, **places, "windows": "last", **options, "name": name}
            train(TrainConfig.from_flat(made, dict.fromkeys(options, "flag")), Silent())
        return places["runs"] / name

    return trained


@pytest.mark.parametrize(
    ("method", "n", "number", "kept", "options"),
    [
        ("training_step", 3, signal.SIGINT, "epoch 1 up to batch 3", {}),
        ("training_step", 8, signal.SIGTERM, "epoch 2 up to batch 3", {}),
        ("training_step", 8, signal.SIGINT, "epoch 2 up to batch 4", {"accumulate": 2}),
        ("training_step", 8, signal.SIGINT, "epoch 2 up to batch 3", {"num_workers": 2}),
        ("training_step", 5, signal.SIGINT, "the epochs up to 1", {}),  # the last batch of an epoch
        ("validation_step", 2, signal.SIGINT, "the epochs up to 2", {}),
    ],
)
def test_a_run_goes_on_from_the_step_it_was_stopped_in(
    configured, tmp_path, at, straight, method, n, number, kept, options
):
    expected = straight(options)
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    told = Told()
    at(method, n, number)
    with pytest.raises(KeyboardInterrupt):
        train(configured(name="stopped", windows="last", **options), told)
    assert f"Kept: {kept}." in told.lines
    assert told.lines[-1] == "Training was stopped. Go on with: plmrs train --resume stopped"
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert not (tmp_path / "runs" / "stopped" / "metrics.json").exists()
    train(configured(resume="stopped"), Silent())
    assert same(expected, tmp_path / "runs" / "stopped")


def test_a_second_signal_ends_it_at_once(configured, tmp_path, at, straight):
    told = Told()
    at("training_step", 7, times=2)
    with pytest.raises(KeyboardInterrupt):
        train(configured(name="stopped", windows="last"), told)
    assert not [line for line in told.lines if line.startswith("Kept")]
    assert len(rows(tmp_path / "runs" / "stopped")) == 1
    train(configured(resume="stopped"), Silent())
    assert same(straight({}), tmp_path / "runs" / "stopped")


def test_a_command_that_is_interrupted_says_how_to_go_on(configured, tmp_path):
    """As a user does it: the signal comes from outside, at some time after the first epoch."""
    config = configured(name="stopped", max_epochs=1_000, early_stop_patience=1_000)
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in OPTIONS.items() if key != "max_epochs"]
    places = [f"--root={config.workspace.root}", f"--runs={config.workspace.runs}"]
    command = [str(Path(sys.executable).with_name("plmrs")), "train", "--max-epochs=1000", "--early-stop-patience=1000"]
    process = subprocess.Popen(
        [*command, "--name=stopped", *flags, *places],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        limit = time.monotonic() + 120
        while process.poll() is None and not (tmp_path / "runs" / "stopped" / "metrics.csv").exists():
            assert time.monotonic() < limit
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert "Go on with: plmrs train --resume stopped" in said
    assert "Traceback" not in said
    done = len(rows(tmp_path / "runs" / "stopped"))
    assert done < 1_000
    train(configured(resume="stopped", max_epochs=done + 2), Silent())
    train(configured(name="straight", max_epochs=done + 2, early_stop_patience=1_000), Silent())
    assert same(tmp_path / "runs" / "straight", tmp_path / "runs" / "stopped")
