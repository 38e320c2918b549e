"""The benchmark of gathering: it compares its ways with each other first, and prints a line for each."""

import importlib.util
import re
from pathlib import Path

import pytest

GATHER = Path(__file__).parents[2] / "benchmarks" / "gather.py"


def test_it_prints_a_ratio_for_each_array_and_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("gather", GATHER)
    assert spec is not None
    assert spec.loader is not None
    gather = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gather)
    gather.main(["--items", "3000", "--width", "32", "--batch", "50", "--runs", "3", "--folder", str(tmp_path)])
    told = capsys.readouterr().out
    assert re.findall(r"^(\w+) (\w+) .* ratio [0-9.]+$", told, re.MULTILINE) == [
        ("pooled", "mapped"),
        ("pooled", "held"),
        ("hidden", "mapped"),
        ("hidden", "held"),
    ]
    assert list(tmp_path.iterdir()) == []
