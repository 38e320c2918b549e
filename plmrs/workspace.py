"""Where things lie, what they depend on, and how they are written: whole or not at all.

Everything plmrs makes is written under a temporary name beside its place and renamed once it is complete, so a killed
command leaves nothing that looks finished.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plmrs.errors import UserError

PARTIAL = ".partial-"
"""Part of every temporary name; listings skip names that contain it."""


@dataclass(frozen=True)
class Workspace:
    """The folders of one workspace: `root` for data and caches, `runs` for trained models."""

    root: Path
    runs: Path

    def raw_places(self, name: str) -> list[Path]:
        """The folders in which the raw files of data set `name` are looked for, in this order."""
        return [self.root / "raw" / name, self.root / "old_data" / name]

    def prepared(self, name: str) -> Path:
        """The folder of the prepared data set `name`."""
        return self.root / "prepared" / name

    def caches(self, dataset: str) -> Path:
        """The folder that holds the caches of `dataset`, a folder a PLM."""
        return self.root / "cache" / dataset

    def run(self, name: str) -> Path:
        """The folder of the run `name`."""
        return self.runs / name


def fingerprint(content: Mapping[str, Any]) -> str:
    """A short hash (12 hexadecimal digits) of everything an artifact's content depends on."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file that plmrs wrote.

    Raises:
        UserError: the file is absent, cut or not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged: {error}.", "Remove its folder and make it again.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged: it holds no JSON object.", "Remove its folder and make it again.")
    return content


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary file name beside `path`; rename it to `path` when the block ends well, remove it otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.stem}{PARTIAL}{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)  # noqa: PTH105 - the one call that replaces on every system
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`; when the block ends well it takes the place of `path`, else it is removed.

    An older `path` stays whole until the new one is complete.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}{PARTIAL}{uuid.uuid4().hex[:8]}")
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            old = path.with_name(f"{path.name}{PARTIAL}old-{uuid.uuid4().hex[:8]}")
            path.rename(old)
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def lock(path: Path, doing: str) -> Iterator[None]:
    """Hold the lock file `path`.lock while the block runs; it frees itself when the process dies.

    Raises:
        UserError: another process holds it; `doing` names what that process does, as in `preparing demo`.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
    try:
        held.acquire()
    except Timeout:
        raise UserError(f"Another plmrs process is {doing}.", "Wait until it has ended, then run this again.") from None
    try:
        yield
    finally:
        held.release()
