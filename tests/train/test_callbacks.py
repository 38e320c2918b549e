"""The progress line and the lines of a training."""

import re
from contextlib import contextmanager

import pytest
from tiny import TINY

from plmrs.train import callbacks


class Recorded:
    """A progress that keeps what it is told."""

    def __init__(self):
        self.lines, self.jobs, self.moves = [], [], []

    def say(self, line):
        self.lines.append(line)

    warn = say

    @contextmanager
    def track(self, label, total, unit, done=0):
        self.jobs.append((label, total, unit, done))
        yield lambda n=1, note="": self.moves.append((n, note))


@pytest.fixture
def trained(training, monkeypatch):
    monkeypatch.setattr(callbacks, "LOG_STEPS", 2)
    options = {**TINY, "input_type": "id", "windows": "last", "max_epochs": 2, "batch_size": 8}

    def run(**flags):
        told = Recorded()
        training(options, told, **flags)
        return told

    return run


def test_one_line_follows_all_epochs(trained):
    told = trained(name="one")
    assert told.jobs == [("Training", 80, "users", 0)]
    # 40 users in 5 steps an epoch; the loss is read behind the first, third and fifth, the epoch ends with validation.
    assert [n for n, _ in told.moves] == [8, 16, 16, 0] * 2
    notes = [note for _, note in told.moves]
    assert re.fullmatch(r"epoch 1, loss \d+\.\d{3}", notes[0])
    assert re.fullmatch(r"epoch 2, loss \d+\.\d{3}, best NDCG@10 0\.\d{4}", notes[4])
    epochs = [line for line in told.lines if line.startswith("epoch")]
    assert re.fullmatch(
        r"epoch 1: loss \d+\.\d{4}, validation HR@10 0\.\d{4}, NDCG@10 0\.\d{4} \(best\); \d+ s, [\d,]+ users/s",
        epochs[0],
    )
    assert len(epochs) == 2


def test_a_run_that_goes_on_has_a_line_from_there_on(trained):
    trained(name="one")
    told = trained(resume="one", max_epochs=3)
    assert told.jobs == [("Training", 120, "users", 80)]
    assert sum(n for n, _ in told.moves) == 40
