"""Speed as medians over steps."""

import json
import time

import psutil
import pytest
import torch
from tiny import TINY

from plmrs.train import speed
from plmrs.train.speed import Speed

CPU = torch.device("cpu")


def test_a_step_lasts_from_the_end_of_the_one_before(monkeypatch):
    clock = iter([5.0, 5.5, 6.5, 20.0, 24.0, 25.0])  # the first begin does not look at it
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(clock))
    two = torch.tensor([[1, 2, 3], [1, 2, 0]])  # 3 targets
    one = torch.tensor([[1, 2, 3]])
    measured = Speed()
    assert measured.medians() == (0.0, 0.0)
    measured.begin(CPU)
    measured.step(two)  # ends at 5.0: warming up, not counted
    measured.step(two)  # 0.5 s
    measured.step(one)  # 1 s
    measured.read()
    assert list(measured.windows) == [4.0, 1.0]
    assert list(measured.targets) == [6.0, 2.0]
    measured.begin(CPU)  # the second epoch begins at 20.0; what lies between is validation
    measured.step(two)  # 4 s
    measured.step(two)  # 1 s
    measured.read()
    measured.read()
    assert list(measured.windows) == [4.0, 1.0, 0.5, 2.0]
    assert measured.medians() == (1.5, 2.5)  # targets 6, 2, 0.75, 3


def test_a_long_training_keeps_the_last_steps(monkeypatch):
    monkeypatch.setattr(speed, "STEPS", 3)
    measured = Speed()
    for _ in range(2):
        measured.begin(CPU)
    for _ in range(9):
        measured.step(torch.ones(1, 3, dtype=torch.int64))
        measured.read()
    assert (len(measured.windows), len(measured.targets)) == (3, 3)


@pytest.mark.parametrize("windows", ["last", "all"])
def test_a_run_tells_about_itself(training, tmp_path, windows):
    options = {**TINY, "input_type": "id", "sasrec_seq_len": 4, "windows": windows, "max_epochs": 2}
    options["batch_size"] = 40 if windows == "last" else 8
    process = psutil.Process()
    age, memory = time.time() - process.create_time(), process.memory_info().rss
    training(options)
    found = json.loads((tmp_path / "runs" / "small-id" / "metrics.json").read_text())
    assert age < found["seconds_to_first_step"] < time.time() - process.create_time()
    assert memory <= found["peak_rss_bytes"] < 100 * 2**30
    assert (found["epochs"], found["best_epoch"] in (1, 2)) == (2, True)
    assert 0 < found["seconds"] < time.time() - process.create_time() - age
    # One step of all 40 users, with 4 targets each: every user has 6 items or more, and two are held out.
    if windows == "last":
        assert found["targets_per_second"] == pytest.approx(found["users_per_second"] * (40 * 4 - 6) / 40, rel=0.05)
        assert found["users_per_second"] == pytest.approx(found["windows_per_second"])
    else:
        assert found["users_per_second"] < 0.9 * found["windows_per_second"]  # a user has several
