"""What the benchmark of training speed compares with is what it says it is."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

PROGRAMS = Path(__file__).resolve().parents[2] / "benchmarks" / "sasrec"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(PROGRAMS))
    import bare

    yield bare
    for name in ("bare", "measure"):
        del sys.modules[name]


def test_the_loss_in_chunks_has_the_gradients_of_the_whole_one(bare: ModuleType):
    torch.manual_seed(0)
    histories = torch.tensor([[3, 1, 4, 0, 0], [2, 7, 1, 8, 2]]).repeat(150, 10)[:, : bare.LENGTH]
    real = histories > 0
    targets = torch.randint(9, (int(real.sum()),))
    assert len(targets) > 2 * bare.CHUNK
    found = []
    for backward in (bare.backward_whole, bare.backward_chunks):
        torch.manual_seed(1)
        model = bare.SASRec(9).eval()
        backward(model(histories)[real], model.items.weight, targets)
        found.append([parameter.grad for parameter in model.parameters()])
    for whole, chunks in zip(*found, strict=True):
        torch.testing.assert_close(chunks, whole, atol=1e-6, rtol=1e-4)


def test_speed_is_the_median_over_steps_behind_the_first(bare: ModuleType, tmp_path: Path):
    from measure import Clock, Task

    # 300 windows are batches of 128, 128 and 44.
    task = Task(9, np.ones((300, 51), np.int64), np.ones((1, 50), np.int64), tmp_path, 60, 0, [])
    clock = Clock.__new__(Clock)
    clock.task, clock.rows, clock.ends = task, 300, [7.0, 8.0, 8.5, 10.5, 11.0]
    # Steps: 128 in 1 s, 44 in .5 s, 128 in 2 s, 128 in .5 s.
    assert clock.windows_per_second() == pytest.approx((88 + 128) / 2)
    # RecBole's rows are targets, here 50 a window: the same batches are a fiftieth of as many windows.
    clock.rows, clock.ends = 15_000, [0.0, 1.0, 2.0]
    assert clock.windows_per_second() == pytest.approx(128 / 50)
