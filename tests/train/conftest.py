"""Trainings in this process, and of several processes, started as a user starts them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plmrs.config import TrainConfig
from plmrs.data.dataset import Dataset
from plmrs.report import Progress, Silent
from plmrs.train.command import train
from plmrs.workspace import Workspace

Start = Callable[..., subprocess.Popen[str]]
Finish = Callable[[subprocess.Popen[str]], str]


@pytest.fixture
def training(small_workspace: Workspace, small_dataset: Dataset, tmp_path: Path) -> Callable[..., None]:
    """Train into the test's folder `runs`: `training(OPTIONS, lr=0.01)` is told of the rate by a flag."""
    places = {"root": small_workspace.root, "runs": tmp_path / "runs"}

    def run(options: dict[str, Any], progress: Progress | None = None, **flags: Any) -> None:
        config = TrainConfig.from_flat({**options, **places, **flags}, dict.fromkeys(flags, "flag"))
        train(config, progress or Silent())

    return run


@pytest.fixture(scope="session")
def place(small_workspace: Workspace, small_dataset: Dataset) -> dict[str, Path]:
    """The options that say where `small` lies and where these runs go."""
    return {"root": small_workspace.root, "runs": small_workspace.runs / "processes"}


@pytest.fixture(scope="session")
def start() -> Start:
    """Begin `plmrs train` with some options: `start({"strategy": "ddp"}, before=["torchrun", …], RANK="1")`."""

    def begin(options: dict[str, Any], before: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[str]:
        flags = [part for key, value in options.items() for part in (f"--{key.replace('_', '-')}", *str(value).split())]
        return subprocess.Popen(
            [*before, str(Path(sys.executable).with_name("plmrs")), "train", *flags],
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return begin


@pytest.fixture(scope="session")
def finish() -> Finish:
    """Wait for a training that must end well and whose libraries must keep quiet; gives what it said."""

    def wait(process: subprocess.Popen[str]) -> str:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        assert "Warning" not in err
        assert "DeepSpeed" not in out + err
        return out

    return wait
