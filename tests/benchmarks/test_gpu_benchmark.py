"""The benchmark on a card: what it does without one, and the tables it makes of what was measured."""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from plmrs.config import TrainerOptions
from plmrs.section import choices

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import gpu

    yield gpu
    for name in ("gpu", "texts"):
        del sys.modules[name]


def test_without_a_card_it_says_so_in_a_line(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert gpu.main(["--work", str(tmp_path / "work"), "--output", str(tmp_path / "gpu.md")]) == 2
    told = capsys.readouterr()
    assert "CUDA" in told.err
    assert told.err.count("\n") == 1
    assert not told.out
    assert not list(tmp_path.iterdir())


def test_it_knows_every_strategy_and_no_other(gpu: ModuleType):
    options = TrainerOptions.model_fields
    assert set(gpu.STRATEGIES) == set(choices(options["strategy"].annotation))
    assert set(gpu.PRECISIONS) < set(choices(options["precision"].annotation))


def test_the_page_has_a_row_for_each_run_and_the_reason_of_one_that_failed(gpu: ModuleType, tmp_path: Path):
    options = argparse.Namespace(plm="minilm", output=tmp_path / "gpu.md")
    found: dict[str, list] = {"preinfer": [], "train": []}
    states = {"states": "pooled vectors", "precision": "bf16", "items_per_second": 12_345.6, "peak_gib": 0.51234}
    trained = {
        "trains": "top-2", "strategy": "none", "precision": "32", "steps_per_second": 7.518,
        "users_per_second": 481.2, "seconds_to_first_step": None, "peak_gib": 2.0,
    }  # fmt: skip
    failed = {"trains": "full", "strategy": "fsdp", "precision": "32", "failed": "Error: no memory."}
    for verb, row in (("preinfer", states), ("train", trained), ("train", failed)):
        gpu.tell(options, "Card 9000", found, verb, row)
    page = (tmp_path / "gpu.md").read_text()
    assert "Card 9000" in page
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    assert rows[0] == ["states", "precision", "items/s", "peak GiB"]
    assert rows[2] == ["pooled vectors", "bf16", "12,346", "0.512"]
    assert rows[3] == ["trains", "strategy", "precision", "steps/s", "users/s", "s to the first step", "peak GiB"]
    assert rows[5] == ["top-2", "none", "32", "7.52", "481", "–", "2"]
    assert rows[6] == ["full", "fsdp", "32", "failed: Error: no memory.", "", "", ""]
    assert {len(row) for row in rows[3:]} == {7}


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("Training: 3 of 9\nError: no such card.\nUse another.\n", "Error: no such card."),
        ("Traceback\n  File x\nRuntimeError: a | b\n", "RuntimeError: a / b"),
        ("", "exit code 3"),
    ],
)
def test_a_run_that_fails_gives_its_reason(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stderr: str, said: str
):
    monkeypatch.setattr(gpu.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 3, "", stderr))
    assert gpu.measured(tmp_path, 1, ["train"], "run") == {"failed": said}


def test_a_run_that_takes_too_long_is_ended(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def run(command: list[str], timeout: float, **_: object):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(gpu.subprocess, "run", run)
    assert gpu.measured(tmp_path, 15, ["preinfer"]) == {"failed": "ended after 15 minutes"}


def test_what_the_commands_tell_is_read(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def run(command: list[str], **_: object):
        Path(command[command.index("--peak") + 1]).write_text(str(3 * 2**29))
        return subprocess.CompletedProcess(command, 0, "\nSeconds   2.0\nItems/s   1,250\n", "")

    monkeypatch.setattr(gpu.subprocess, "run", run)
    assert gpu.measured(tmp_path, 1, ["preinfer"]) == {"peak_gib": 1.5, "items_per_second": 1250}
    metrics = {"windows_per_second": 320.0, "batch_size": 64, "users_per_second": 200.0, "seconds_to_first_step": 4.5}
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "metrics.json").write_text(json.dumps(metrics))
    assert gpu.measured(tmp_path, 1, ["train"], "one") == {
        "peak_gib": 1.5, "steps_per_second": 5.0, "users_per_second": 200.0, "seconds_to_first_step": 4.5,
    }  # fmt: skip
