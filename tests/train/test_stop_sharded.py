"""A stop within the first epoch of a run that shards its model, which reads its checkpoint later than others do."""

import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from compared import curve
from safetensors.torch import load_file
from tiny import FSDP, TINY
from torch import multiprocessing

from plmrs.config import TrainConfig
from plmrs.report import Silent
from plmrs.train.command import train
from plmrs.train.module import TrainingModule

OPTIONS = {**TINY, "input_type": "id", "windows": "last", "max_epochs": 2, "batch_size": 8, "lr_schedule": "linear"}


def work(_: int, options: dict[str, Any]) -> None:
    """Train straight, and up to the third of five batches and from there on."""

    def run(**flags: str) -> None:
        train(TrainConfig.from_flat({**options, **flags}, dict.fromkeys(flags, "flag")), Silent())

    run(name="straight")
    usual, calls = TrainingModule.training_step, []

    def stopped(self: TrainingModule, *given: Any) -> Any:
        calls.append(given)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGTERM)
        return usual(self, *given)

    TrainingModule.training_step = stopped  # type: ignore[method-assign]
    with suppress(KeyboardInterrupt):
        run(name="stopped")
    assert len(calls) == 3
    run(resume="stopped")


@pytest.mark.parametrize("strategy", [FSDP, pytest.param("deepspeed_stage_2", marks=pytest.mark.slow)])
def test_a_sharded_run_goes_on_from_the_batch_it_was_stopped_in(
    forkserver: Any, small_workspace: Any, small_dataset: Any, tmp_path: Path, strategy: str
) -> None:
    # Of processes of its own: the group that shards stays with a process.
    options = {**OPTIONS, "strategy": strategy, "root": small_workspace.root, "runs": tmp_path}
    multiprocessing.start_processes(work, (options,), nprocs=1, start_method="forkserver")
    straight, other = tmp_path / "straight", tmp_path / "stopped"
    for column in ("loss", "NDCG@20"):
        assert curve(other, column) == curve(straight, column)
    mine, theirs = load_file(other / "model.safetensors"), load_file(straight / "model.safetensors")
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
