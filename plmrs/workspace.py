"""Where things lie, what they depend on, and how they are written: whole or not at all.

Everything plmrs makes is written under a temporary name beside its place and renamed once it is complete, so a killed
command leaves nothing that looks finished. While it is written its writer holds a lock on it: one that nobody holds is
what a killed command left, and goes when the same thing is written again.
"""

import ctypes
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
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


def newest_first(paths: Iterable[Path]) -> list[Path]:
    """Files and folders by when they were changed; those that another process removes meanwhile are left out."""
    found = []
    for path in paths:
        with suppress(FileNotFoundError):
            found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found, reverse=True)]


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


def check_format(what: Path | str, found: object, known: int, remedy: str) -> None:
    """Refuse what another version of plmrs wrote.

    Args:
        what: The thing, as the message names it.
        found: The format that it says it has.
        known: The one that is read here.
        remedy: How to have it in that, as in `train it again`.

    Raises:
        UserError: it has another.
    """
    if found != known:
        newer = isinstance(found, int) and found > known
        first = "Update plmrs, or " if newer else ""
        told = f"{first}{remedy}."
        raise UserError(f"{what} has format {found}, this plmrs reads {known}.", told[0].upper() + told[1:])


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary file name beside `path`; rename it to `path` when the block ends well, remove it otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(path, path.stem, path.suffix) as temporary:
        yield temporary
        os.replace(temporary, path)  # noqa: PTH105 - the one call that replaces on every system


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`; when the block ends well it takes the place of `path`, else it is removed.

    An older `path` stays whole until the new one is complete.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(path, path.name, "", folder=True) as temporary:
        yield temporary
        if not os.path.lexists(path):
            temporary.rename(path)
        elif not _exchanged(temporary, path):
            old = path.with_name(f"{path.name}{PARTIAL}old-{uuid.uuid4().hex[:8]}")
            path.rename(old)
            try:
                temporary.rename(path)
            except BaseException:
                old.rename(path)
                raise
            _remove(old)


@contextmanager
def _temporary(path: Path, stem: str, suffix: str, folder: bool = False) -> Iterator[Path]:
    """A temporary name beside `path`, held while the block runs; what is left of it then is removed.

    Raises:
        UserError: nothing can be made there.
    """
    for left in path.parent.iterdir():
        if left.name.startswith(f"{stem}{PARTIAL}") and left.name.endswith(suffix):
            _remove_abandoned(left)
    held = None
    while held is None:
        temporary = path.with_name(f"{stem}{PARTIAL}{uuid.uuid4().hex[:8]}{suffix}")
        try:
            if folder:
                temporary.mkdir()
            else:
                temporary.touch()
        except FileNotFoundError:
            # It was removed meanwhile, or is no folder of files, as /proc is none.
            raise UserError(f"Nothing can be written into {path.parent}.", "Name another folder.") from None
        held = _hold(temporary, os.O_RDONLY if folder else os.O_WRONLY)
    try:
        yield temporary
    finally:
        _remove(temporary)
        os.close(held)


def _hold(path: Path, flags: int) -> int | None:
    """Open a file or folder and lock it; None when another process took it for abandoned just before."""
    try:
        held = os.open(path, flags)
    except FileNotFoundError:
        return None
    if _locked(held) is not False and path.exists():
        return held
    os.close(held)
    return None


def _remove_abandoned(path: Path) -> None:
    """Remove a temporary file or folder, unless its writer is at work or nothing is known of that."""
    with suppress(OSError):
        opened = os.open(path, os.O_RDONLY)
        try:
            if _locked(opened):
                _remove(path)
        finally:
            os.close(opened)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _locked(opened: int) -> bool | None:
    """Lock an open file until it is closed; False when another process has, None where files cannot be locked so."""
    try:
        import fcntl

        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # another system, or one of the network file systems
        return None
    return True


def _exchanged(one: Path, other: Path) -> bool:
    """Let two folders change places in one step, so that at no time there is none; False where the system cannot."""
    exchange = getattr(ctypes.CDLL(None), "renameat2", None)
    if exchange is None:
        return False
    here, swap = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux
    return bool(exchange(here, os.fsencode(one), here, os.fsencode(other), swap) == 0)


@contextmanager
def lock(path: Path, doing: str, patience: float = 0) -> Iterator[None]:
    """Hold the lock file `path`.lock while the block runs; it frees itself when the process dies.

    Args:
        path: What is locked.
        doing: What a process that holds it does, as in `preparing demo`.
        patience: Seconds to wait for another process.

    Raises:
        UserError: another process holds it.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(path.with_name(f".{path.name}.lock"), timeout=patience)
    try:
        held.acquire()
    except Timeout:
        raise UserError(f"Another plmrs process is {doing}.", "Wait until it has ended, then run this again.") from None
    try:
        yield
    finally:
        held.release()
