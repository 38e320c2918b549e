"""Folders that cannot be written: what only reads works, what writes says so in one line."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from scenes import CACHE, ID_RUN, TABLES
from told import Disk, Run, told_in_one_line

WRITING = (
    TABLES,
    f"{TABLES} --name other",
    f"{CACHE} --keep-tokens",
    f"{ID_RUN} --name three",
    "train --resume one --max-epochs 2",
    "evaluate one",
    "recommend one --output list.csv",
)
READING = (
    CACHE,
    "inspect",
    "inspect shop",
    "inspect one two",
    "recommend one",
    "recommend two --output {free}/list.csv",
)


@pytest.fixture
def sealed(disk: Disk, shop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shop on a disk that is mounted for reading only."""
    folder = disk(32 << 20)
    shutil.copytree(shop, folder / "shop")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    monkeypatch.chdir(folder / "shop")
    return folder / "shop"


def test_on_a_disk_for_reading_only(sealed: Path, run: Run, tmp_path: Path) -> None:
    for line in WRITING:
        code, said = run(line)
        assert code == 2, line
        told = told_in_one_line(said)
        assert "read-only" in told.lower(), line
        assert len(told.splitlines()) == 2, line  # a remedy
    for line in READING:
        code, said = run(line.format(free=tmp_path))
        assert code == 0, (line, said)


def test_data_on_such_a_disk_and_runs_on_another(sealed: Path, run: Run, tmp_path: Path) -> None:
    own = f"--runs {tmp_path / 'runs'}"
    for line in (f"train --input-type text --max-epochs 1 --name mine {own}", f"evaluate mine {own}"):
        code, said = run(line)
        assert code == 0, (line, said)
    assert (tmp_path / "runs" / "mine" / "test_metrics.json").is_file()


@pytest.fixture
def nobody(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The shop as it is for a user who may only read it."""
    folder = Path(tempfile.mkdtemp())
    shutil.copytree(shop, folder / "shop")
    root = os.geteuid() == 0
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if root and path.is_dir() else 0o555 if path.is_dir() else 0o444)
    monkeypatch.chdir(folder / "shop")
    if root:
        os.seteuid(65534)
    try:
        yield folder / "shop"
    finally:
        if root:
            os.seteuid(0)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)
        shutil.rmtree(folder)


def test_without_the_permission_to_write(nobody: Path, run: Run) -> None:
    before = sorted(nobody.rglob("*"))
    for line in WRITING:
        code, said = run(line)
        assert code == 2, line
        assert "permission" in told_in_one_line(said).lower(), line
    code, said = run("recommend one")
    assert code == 0, said
    assert sorted(nobody.rglob("*")) == before
