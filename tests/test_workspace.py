"""Paths, fingerprints, and files that are whole or not there."""

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from plmrs.errors import UserError
from plmrs.workspace import (
    PARTIAL,
    Workspace,
    atomic_file,
    atomic_folder,
    check_format,
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


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder that no file can be made in, whoever asks")
@pytest.mark.parametrize("written", [atomic_file, atomic_folder])
def test_where_nothing_can_be_made_is_an_error_and_not_tried_for_ever(written: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match="Nothing can be written into /proc"), written(Path("/proc/plmrs.csv")):
        pass


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


def test_what_a_killed_writer_left_goes_and_what_another_writes_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    (tmp_path / f"x{PARTIAL}12345678.txt").write_text("half")
    (tmp_path / f"y{PARTIAL}12345678.txt").write_text("of another file")
    with atomic_file(path) as first:
        first.write_text("first")
        with atomic_file(path) as second:
            second.write_text("second")
        assert first.read_text() == "first"
    assert path.read_text() == "first"
    assert {file.name for file in tmp_path.iterdir()} == {"x.txt", f"y{PARTIAL}12345678.txt"}


def test_a_folder_that_a_killed_writer_left_goes(tmp_path: Path) -> None:
    left = tmp_path / f"folder{PARTIAL}12345678"
    left.mkdir()
    (left / "half").write_text("half")
    with atomic_folder(tmp_path / "folder") as first, atomic_folder(tmp_path / "folder") as second:
        (second / "second").write_text("second")
        (first / "first").write_text("first")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["first"]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_link_to_a_folder_is_replaced_and_what_it_leads_to_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    if not at_once:
        monkeypatch.setattr("plmrs.workspace._exchanged", lambda one, other: False)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "old").write_text("old")
    (tmp_path / "folder").symlink_to(tmp_path / "elsewhere")
    with atomic_folder(tmp_path / "folder") as temporary:
        (temporary / "new").write_text("new")
    assert {path.name for path in tmp_path.iterdir()} == {"elsewhere", "folder"}
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["new"]
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["old"]


@pytest.mark.skipif(sys.platform != "linux", reason="folders change places in one step on Linux")
def test_while_a_folder_is_replaced_it_is_always_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, missed, ended, rename = tmp_path / "folder", [], threading.Event(), Path.rename

    def slowly(one: Path, other: Path) -> Path:
        renamed = rename(one, other)
        time.sleep(0.01)
        return renamed

    monkeypatch.setattr(Path, "rename", slowly)
    with atomic_folder(path) as temporary:
        (temporary / "x").write_text("0")

    def look() -> None:
        while not ended.is_set():
            if not path.exists():
                missed.append(path)

    looker = threading.Thread(target=look)
    looker.start()
    for number in range(20):
        with atomic_folder(path) as temporary:
            (temporary / "x").write_text(str(number))
    ended.set()
    looker.join()
    assert missed == []
    assert (path / "x").read_text() == "19"


def test_where_folders_cannot_change_places_an_interrupt_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rename = tmp_path / "folder", Path.rename
    with atomic_folder(path) as temporary:
        (temporary / "old").write_text("old")

    def interrupted(one: Path, other: Path) -> Path:
        if (one / "new").exists():
            raise KeyboardInterrupt
        return rename(one, other)

    monkeypatch.setattr("plmrs.workspace._exchanged", lambda one, other: False)
    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), atomic_folder(path) as temporary:
        (temporary / "new").write_text("new")
    assert [file.name for file in path.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("version", "remedy"), [(1, "Train it again."), (9, "Update plmrs, or train it again."), (None, "Train it again.")]
)
def test_another_format_is_refused(version: int | None, remedy: str) -> None:
    with pytest.raises(UserError, match=f"runs/one has format {version}, this plmrs reads 2") as caught:
        check_format("runs/one", version, 2, "train it again")
    assert caught.value.remedy == remedy
    check_format("runs/one", 2, 2, "train it again")


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    held = threading.Event()

    def hold() -> None:
        with lock(tmp_path / "demo", "preparing demo"):
            held.set()
            time.sleep(0.2)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    with lock(tmp_path / "demo", "preparing demo", patience=30):
        holder.join()


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    with (
        lock(tmp_path / "demo", "preparing demo"),
        pytest.raises(UserError, match="preparing demo"),
        lock(tmp_path / "demo", "preparing demo"),
    ):
        pass
    with lock(tmp_path / "demo", "preparing demo"):
        pass
