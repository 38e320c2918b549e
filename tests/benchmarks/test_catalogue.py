"""The benchmark of large catalogues: it runs a step of each loss in a process of its own, and writes a row for each."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

CATALOGUE = Path(__file__).parents[2] / "benchmarks" / "catalogue.py"


def test_it_writes_a_row_for_each_loss_and_leaves_out_the_plain_one_where_it_is_large(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("catalogue", CATALOGUE)
    assert spec is not None
    assert spec.loader is not None
    catalogue = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(catalogue)
    in_process, steps = catalogue.in_process, []

    def once(*step: Any) -> dict[str, Any]:
        """The first one in its process; each takes seconds to start."""
        steps.append(step)
        found: dict[str, Any] = in_process(*step) if len(steps) == 1 else catalogue.step(*step)
        return found

    monkeypatch.setattr(catalogue, "in_process", once)
    page = tmp_path / "catalogue.md"
    sizes = ["--items", "500", "1000", "--batches", "4", "--length", "5", "--width", "8"]
    catalogue.main([*sizes, "--plain-gib", str(60_000 / 2**30), "--output", str(page)])
    rows = [line for line in page.read_text().splitlines() if line.startswith("|")]
    assert capsys.readouterr().out.splitlines() == rows
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]
    assert [(row[0], row[1], row[3]) for row in cells] == [
        ("500", "20", "plmrs"),
        ("500", "20", "plain"),
        ("1,000", "20", "plmrs"),
        ("1,000", "20", "plain"),
    ]
    assert cells[0][6] == cells[1][6]  # the same loss
    assert 0 < float(cells[0][4]) < 3
    assert cells[3][4] == "not run"
