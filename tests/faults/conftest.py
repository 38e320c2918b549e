"""A shop with everything in it, small disks, and commands through their door."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import scenes
from told import Disk, Run

from plmrs.cli import main


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """A folder with tables and the PLM `bert`."""
    folder = tmp_path_factory.mktemp("inputs")
    scenes.write_tables(folder, 150, 200)
    shutil.copytree(tiny_bert, folder / "bert")
    return folder


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, inputs: Path) -> Path:
    """A folder with a prepared data set, a cache, and the runs `one`, of ids, and `two`, of texts, both evaluated."""
    folder = tmp_path_factory.mktemp("made") / "shop"
    shutil.copytree(inputs, folder)
    lines = (
        scenes.TABLES,
        scenes.ID_RUN,
        scenes.CACHE,
        scenes.ID_RUN.replace("one", "two").replace("--input-type id", "--plm bert"),
        "evaluate one",
        "evaluate two",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in lines:
            assert main(shlex.split(line)) == 0
    return folder


@pytest.fixture
def place(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shop, in which commands run."""
    folder = tmp_path / "shop"
    shutil.copytree(shop, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line; its exit code and what it says."""

    def run(line: str) -> tuple[int, str]:
        code = main(shlex.split(line))
        out, err = capsys.readouterr()
        return code, out + err

    return run


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Mount a small disk of so many bytes; it is gone after the test."""
    mounted: list[Path] = []

    def mount(size: int) -> Path:
        if os.geteuid() != 0 or not shutil.which("mount"):
            pytest.skip("mounting a disk takes root")
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("this system lets no disk be mounted")
        mounted.append(folder)
        return folder

    yield mount
    os.chdir("/")
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)
