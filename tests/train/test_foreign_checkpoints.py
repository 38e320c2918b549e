"""Runs from elsewhere: what they hold is looked at before it is used, and nothing of it is run."""

import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import HAS_FSDP, TINY

from plmrs.cli import main
from plmrs.config import TrainConfig
from plmrs.report import Silent
from plmrs.train.command import train
from plmrs.workspace import Workspace


class Touch:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def trained(small_workspace, small_dataset, tmp_path_factory) -> Workspace:
    """A workspace with a run of one epoch."""
    places = Workspace(small_workspace.root, tmp_path_factory.mktemp("trained") / "runs")
    options = {**TINY, "input_type": "id", "max_epochs": 1, "batch_size": 32, "root": places.root, "runs": places.runs}
    train(TrainConfig.from_flat({**options, "name": "one"}, {"name": "flag"}), Silent())
    return places


@pytest.fixture
def run(trained: Workspace, tmp_path: Path) -> Path:
    """A copy of the run, as if it came from elsewhere."""
    return Path(shutil.copytree(trained.runs, tmp_path / "runs")) / "one"


@pytest.fixture
def plmrs(trained: Workspace, run: Path, capsys: pytest.CaptureFixture[str]):
    """Runs a command on the copy, which must be refused in a line; gives what is said."""

    def refused(*line: str) -> str:
        capsys.readouterr()
        assert main([*line, "--root", str(trained.root), "--runs", str(run.parent)]) == 2
        said = capsys.readouterr().err
        assert said.count("Error: ") == 1
        assert "Traceback" not in said
        return said

    return refused


RESUME = ("train", "--resume", "one", "--max-epochs", "2", "--accelerator", "cpu")


@pytest.mark.parametrize("file", ["last.ckpt", "best.ckpt"])
@pytest.mark.parametrize("hidden", [True, False])
def test_a_checkpoint_that_would_run_code(run: Path, plmrs, tmp_path: Path, file: str, hidden: bool) -> None:
    made, path = tmp_path / "made", run / "checkpoints" / file
    content = {**torch.load(path, weights_only=True), "callbacks": {"x": Touch(made)}} if hidden else Touch(made)
    torch.save(content, path)
    (run / "model.safetensors").unlink()
    assert "would run code of the file" in plmrs(*RESUME)
    assert "would run code of the file" in plmrs("evaluate", str(path))
    assert "would run code of the file" in plmrs("recommend", str(path), "--users", "u1")
    assert "would run code of the file" in plmrs("inspect", str(path))
    assert not made.exists()
    path.write_bytes(pickle.dumps(Touch(made)))
    for line in (RESUME, ("evaluate", str(path)), ("inspect", str(path))):
        assert file in plmrs(*line)
    assert not made.exists()


def change(path: Path, how: str) -> None:
    held = torch.load(path, weights_only=True)
    weights = held["state_dict"]
    if how == "another program's":
        held = {"model": weights, "step": 3}
    elif how == "a list":
        held = [weights]
    elif how == "no tensors":
        held["state_dict"] = dict.fromkeys(weights, "x")
    elif how == "numbered":
        held["state_dict"] = dict(enumerate(weights.values()))
    elif how == "other widths":
        held["state_dict"] = {name: torch.zeros(3, 3) for name in weights}
    elif how == "other names":
        held["state_dict"] = {f"x.{name}": tensor for name, tensor in weights.items()}
    elif how == "no epoch":
        held["epoch"] = "x"
    elif how == "leads out":
        held["callbacks"] = {"ModelCheckpoint": {"best_model_path": "runs/one/checkpoints/../../../victim"}}
    torch.save(held, path)


@pytest.mark.parametrize("how", [
    "another program's", "a list", "no tensors", "numbered", "other widths", "other names", "no epoch", "leads out",
])  # fmt: skip
def test_a_checkpoint_of_something_else(run: Path, plmrs, how: str) -> None:
    change(run / "checkpoints" / "last.ckpt", how)
    assert "last.ckpt" in plmrs(*RESUME)


def test_a_folder_of_shards_is_not_unpickled(run: Path, plmrs, tmp_path: Path) -> None:
    last = run / "checkpoints" / "last.ckpt"
    last.unlink()
    last.mkdir()
    (last / "meta.pt").write_bytes(pickle.dumps(Touch(tmp_path / "made")))
    (last / ".metadata").write_bytes(pickle.dumps(Touch(tmp_path / "made")))
    for strategy in ("none", "fsdp") if HAS_FSDP else ("none",):
        for name, begun in (("config.yaml", "strategy: none"), ("manifest.json", '"strategy": "none"')):
            (run / name).write_text((run / name).read_text().replace(begun, begun.replace("none", strategy)))
        assert "is no checkpoint of this run's --strategy" in plmrs(*RESUME)
    assert not (tmp_path / "made").exists()


def test_nothing_is_written_through_a_link(run: Path, plmrs, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("kept")
    for name in ("metrics.csv", "checkpoints/best.ckpt", "plots", "test_metrics.json"):
        path = run / name
        held = path.read_bytes() if path.exists() else None
        path.unlink(missing_ok=True)
        path.symlink_to(victim)
        assert f"{name} is a link out of" in plmrs(*RESUME)
        assert f"{name} is a link out of" in plmrs("evaluate", "one", "--accelerator", "cpu")
        path.unlink()
        if held is not None:
            path.write_bytes(held)
    assert victim.read_text() == "kept"


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["deepspeed_stage_2", "deepspeed_stage_3", "fsdp"])
def test_shards_that_would_run_code(small_workspace, small_dataset, tmp_path: Path, strategy: str) -> None:
    def started(*flags: str) -> "subprocess.CompletedProcess[str]":
        places = ["--root", str(small_workspace.root), "--runs", str(tmp_path / "runs"), "--accelerator", "cpu"]
        code = "import sys; from plmrs.cli import main; sys.exit(main())"
        line = [sys.executable, "-c", code, "train", *flags, *places]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    options = [f"--{key.replace('_', '-')}={value}" for key, value in {**TINY, "input_type": "id"}.items()]
    assert started(*options, "--max-epochs=1", f"--strategy={strategy}", "--name=one").returncode == 0
    last = tmp_path / "runs" / "one" / "checkpoints" / "last.ckpt"
    for file in [last] if last.is_file() else sorted(last.glob("*/*.pt")):
        before = file.read_bytes()
        torch.save({"odd": Touch(tmp_path / "made")}, file)
        done = started("--resume=one", "--max-epochs=2")
        assert done.returncode == 2, done.stderr
        assert "would run code of the file" in done.stderr
        assert not (tmp_path / "made").exists()
        file.write_bytes(before)
    assert started("--resume=one", "--max-epochs=2").returncode == 0
