"""A disk that is full at any moment: one line, nothing half-written that looks finished, and once there is room all."""

import shlex
import shutil
from pathlib import Path

import pytest
from scenes import SCENES, VERBS, Scene
from told import told_in_one_line

from plmrs.cli import main

SIZE = 64 << 20
PAGE = 4096


def run_before(scene: Scene, inputs: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(inputs, folder)
    monkeypatch.chdir(folder)
    for line in scene.before:
        assert main(shlex.split(line)) == 0


def leave(folder: Path, room: int) -> None:
    """Fill a disk but for so many bytes."""
    filler = folder / "filler"
    filler.unlink(missing_ok=True)
    with filler.open("wb") as file:
        file.write(bytes(shutil.disk_usage(folder).free - room))


def check(scene: Scene, inputs: Path, run, disk, monkeypatch, tmp_path: Path, shares: tuple[float, ...]) -> list[int]:
    """Give a scene these shares of the room that it takes; the exit codes."""
    run_before(scene, inputs, tmp_path / "straight", monkeypatch)
    begun = sum(path.stat().st_size for path in Path().rglob("*"))
    assert run(scene.line)[0] == 0
    usual = scene.found(Path())
    needed = sum(path.stat().st_size + PAGE for path in Path().rglob("*")) - begun
    codes = []
    for share in shares:
        mounted = disk(SIZE)
        run_before(scene, inputs, mounted / "shop", monkeypatch)
        before = scene.found(Path())
        leave(mounted, int(share * needed) // PAGE * PAGE)
        code, said = run(scene.line)
        codes.append(code)
        if code:
            assert code == 2, said
            assert any(word in told_in_one_line(said) for word in ("disk is full", "No space left", "MB are free"))
            for name, content in scene.found(Path()).items():
                assert content in (usual.get(name), before.get(name)), (share, name)
            assert before.keys() <= scene.found(Path()).keys()
        (mounted / "filler").unlink()
        code, said = run(scene.second(Path()))
        assert code == 0, (share, said)
        assert scene.found(Path()) == usual, share
        assert not list(mounted.rglob("*partial*"))
    return codes


FIRST = tuple(next(scene for scene in SCENES if scene.verb == verb) for verb in VERBS)
SHARES = (0.0, 0.03, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)


@pytest.mark.parametrize("scene", FIRST, ids=lambda scene: scene.verb)
def test_full_at_once_and_half_way(scene: Scene, inputs: Path, run, disk, monkeypatch, tmp_path: Path) -> None:
    assert check(scene, inputs, run, disk, monkeypatch, tmp_path, (0.0, 0.5))[0] == 2


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: f"{scene.verb} {scene.name}")
def test_full_at_any_moment(scene: Scene, inputs: Path, run, disk, monkeypatch, tmp_path: Path) -> None:
    check(scene, inputs, run, disk, monkeypatch, tmp_path, SHARES)
