"""A workspace that lies elsewhere than where it was made."""

import shutil
from pathlib import Path

import pytest
from scenes import SMALL
from told import Run, told_in_one_line

TEXTS = f"train --plm bert --max-epochs 1 --windows last --accelerator cpu {SMALL}"


@pytest.fixture
def moved(place: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with the run `far`, made with absolute paths and renamed since; another folder is at work."""
    for made in ("runs/one", "runs/two", "data/cache"):
        shutil.rmtree(place / made)
    code, said = run(f"{TEXTS} --name far --root {place / 'data'} --runs {place / 'runs'}")
    assert code == 0, said
    folder = place.with_name("moved")
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    place.rename(folder)
    monkeypatch.setenv("PLMRS_ROOT", str(folder / "data"))
    monkeypatch.setenv("PLMRS_RUNS", str(folder / "runs"))
    return folder


def test_every_verb_works_where_it_is_now(moved: Path, run: Run) -> None:
    before = {path.name for path in moved.glob("data/cache/*/*/*.zarr")}
    for line in (
        "inspect",
        "inspect far",
        "train --resume far --max-epochs 2",
        f"{TEXTS.replace('bert', str(moved / 'bert'))} --name near",
        "evaluate far near",
        "recommend far --output list.csv",
        f"preinfer --plm {moved / 'bert'}",
        "prepare shop --items ../items.csv --interactions ../clicks.csv",
        "evaluate far",
    ):
        code, said = run(line)
        assert code == 0, (line, said)
    assert {path.name for path in moved.glob("data/cache/*/*/*.zarr")} == before
    assert not moved.with_name("shop").exists()


def test_what_is_missing_is_told(moved: Path, run: Run) -> None:
    (moved / "new.csv").write_text("item_id,text\nx1,river number 9\n")
    code, said = run("recommend far --items ../new.csv --history i1 i2")  # this takes the language model itself
    assert code == 2
    assert f"{moved.with_name('shop') / 'bert'}" in told_in_one_line(said)
    code, said = run(f"train --config {moved / 'runs' / 'far' / 'config.yaml'}")
    assert code == 2
    assert f"{moved.with_name('shop') / 'data'}" in told_in_one_line(said)
    assert not moved.with_name("shop").exists()
    shutil.rmtree(moved / "data" / "cache")
    code, said = run("evaluate far")
    assert code == 2
    assert "plmrs preinfer" in told_in_one_line(said)
    shutil.rmtree(moved / "data")
    for line in ("evaluate far", "train --resume far", "recommend far"):
        code, said = run(line)
        assert code == 2, line
        assert "data set shop" in told_in_one_line(said)
        assert str(moved / "data") in said
