"""A workspace that is as it was before each test."""

import shutil
from pathlib import Path

import pytest
from world import World, make_world


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of the workspace, not made yet, and one to keep a copy in: a PLM is known by its absolute path."""
    folder = tmp_path_factory.mktemp("world")
    return folder / "now", folder / "kept"


@pytest.fixture
def world(
    made: tuple[Path, Path],
    tiny_bert: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    """The workspace, in which nothing was changed yet."""
    now, kept = made
    if now.exists():
        shutil.rmtree(now)
    if kept.exists():
        shutil.copytree(kept, now, symlinks=True)
    else:
        now.mkdir()
    monkeypatch.chdir(now)
    found = World(now, capsys)
    if not kept.exists():
        make_world(found, tiny_bert)
        shutil.copytree(now, kept, symlinks=True)
    return found
