"""Paths, fingerprints, and files that are whole or not there."""

from contextlib import suppress
from pathlib import Path

import pytest

from plmrs.errors import UserError
from plmrs.workspace import (
    PARTIAL,
    Workspace,
    atomic_file,
    atomic_folder,
    file_sha256,
    fingerprint,
    lock,
    read_json,
    write_json,
)


def test_where_things_lie() -> None:
    workspace = Workspace(Path("data"), Path("runs"))
    assert workspace.prepared("demo") == Path("data/prepared/demo")
    assert workspace.caches("demo") == Path("data/cache/demo")
    assert workspace.run("first") == Path("runs/first")
    assert workspace.raw_places("MIND_small") == [Path("data/raw/MIND_small"), Path("data/old_data/MIND_small")]


def test_a_fingerprint_depends_on_content_not_on_order() -> None:
    assert fingerprint({"a": 1, "b": "ü"}) == fingerprint({"b": "ü", "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert len(fingerprint({})) == 12


def test_file_sha256(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert file_sha256(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_json_comes_back(tmp_path: Path) -> None:
    write_json(tmp_path / "deep" / "x.json", {"name": "ü", "path": Path("a")})
    assert read_json(tmp_path / "deep" / "x.json") == {"name": "ü", "path": "a"}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["x.json"]


@pytest.mark.parametrize("content", ["{", "[1]", ""])
def test_damaged_json_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UserError, match=r"x\.json is damaged"):
        read_json(tmp_path / "x.json")


def test_missing_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.json does not exist"):
        read_json(tmp_path / "x.json")


def test_a_failed_file_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")
    with suppress(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        assert PARTIAL in temporary.name
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    for content in ("one", "two"):
        with atomic_folder(path) as temporary:
            (temporary / content).write_text(content)
    assert [file.name for file in path.iterdir()] == ["two"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with atomic_folder(path) as temporary:
        (temporary / "one").write_text("one")
    with suppress(KeyboardInterrupt), atomic_folder(path) as temporary:
        (temporary / "two").write_text("half")
        raise KeyboardInterrupt
    assert [file.name for file in path.iterdir()] == ["one"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    with (
        lock(tmp_path / "demo", "preparing demo"),
        pytest.raises(UserError, match="preparing demo"),
        lock(tmp_path / "demo", "preparing demo"),
    ):
        pass
    with lock(tmp_path / "demo", "preparing demo"):
        pass
