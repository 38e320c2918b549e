"""Processes that torchrun or srun starts train one run together."""

import csv
import sys
from pathlib import Path

import pytest
from tiny import TINY

from plmrs.errors import UserError
from plmrs.train.launch import this_launch

OPTIONS = {**TINY, "input_type": "id", "windows": "last", "batch_size": 8, "max_epochs": 2}
TORCHRUN = (sys.executable, "-m", "torch.distributed.run")


def slurm(task: int) -> dict[str, str]:
    """What srun sets for a task of two, each on a machine of its own."""
    own = {"SLURM_PROCID": task, "SLURM_LOCALID": 0, "SLURM_NODEID": task}
    job = {"SLURM_NTASKS": 2, "SLURM_NTASKS_PER_NODE": 1, "SLURM_NNODES": 2, "SLURM_JOB_ID": 4321}
    step = {"SLURM_STEP_NUM_TASKS": 2, "SLURM_STEP_NUM_NODES": 2, "SLURM_NODELIST": "127.0.0.1"}
    return {name: str(value) for name, value in {**own, **job, **step}.items()}


def losses(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_torchrun_and_srun_train_one_run_as_plmrs_does(place, start, finish, tmp_path):
    options = {**OPTIONS, "root": place["root"], "runs": tmp_path}
    finish(start({**options, "devices": "0 1", "name": "own"}))
    finish(start({**options, "devices": "0 1", "name": "torchrun"}, before=(*TORCHRUN, "--nproc-per-node", "2")))
    agents = [
        (*TORCHRUN, "--nnodes", "2", "--node-rank", str(node), "--master-addr", "127.0.0.1", "--master-port", "29611")
        for node in range(2)
    ]
    for process in [start({**options, "name": "machines", "strategy": "fsdp"}, before=agent) for agent in agents]:
        finish(process)
    for process in [start({**options, "name": "slurm"}, **slurm(task)) for task in range(2)]:
        finish(process)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"own", "torchrun", "machines", "slurm"}
    for name in ("torchrun", "machines", "slurm"):
        assert losses(tmp_path / name) == pytest.approx(losses(tmp_path / "own"), rel=1e-4)


def test_a_command_that_nothing_else_started_is_the_first_process(monkeypatch):
    # The batch script of a job of several tasks, without srun.
    monkeypatch.setenv("SLURM_NTASKS", "4")
    launch = this_launch(1)
    assert (launch.rank, launch.n_nodes, launch.told()) == (0, 1, None)


def test_as_many_devices_are_named_as_processes_were_started(monkeypatch):
    for name, value in slurm(1).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        UserError, match=r"srun started 2 processes on 2 machines, but --devices names 2 on each"
    ) as info:
        this_launch(2)
    assert "--devices 0," in (info.value.remedy or "")
