"""Long commands, watched from outside: memory stays flat, few files are open, and logs can be read."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "long_runs.py"
STEPS, UNITS = 10_000, 10_000
EPOCHS = STEPS // 100


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("what", ["id", "states", "preinfer"])
def test_nothing_grows(tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("long_runs", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    long_runs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(long_runs)
    given = ["--steps", str(STEPS), "--units", str(UNITS), "--of", what]
    watched = long_runs.main([str(tmp_path / "work"), *given])[what]
    told = capsys.readouterr().out
    assert f"{UNITS:,} units" in told if what == "preinfer" else f"{STEPS:,} steps, {EPOCHS} epochs" in told
    assert watched.growth < 8  # MiB, over the last 60 % of the time
    assert watched.files.max() < 64
    # A line an epoch, and progress every ten seconds at most.
    most = 40 + watched.seconds / 10 + (0 if what == "preinfer" else EPOCHS)
    assert watched.lines < most
    assert watched.longest < 160
