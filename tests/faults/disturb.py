"""One command disturbed at one moment, and what came of it."""

import random
import shutil
import signal
import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import forks
from scenes import Found, Scene, digest

PAUSE = 0.0005
"""Seconds between two looks at a folder."""
AT_ONCE = 0.004
"""Seconds within which a signal follows what it is to hit."""


@dataclass(frozen=True)
class Undisturbed:
    """A scene as it goes when nothing happens.

    Attributes:
        start: The folder it begins in, to be copied.
        before: What looks finished there.
        found: What looks finished at the end.
        files: Hashes of the files that are to stay as they are.
        seconds: How long it takes.
        first: After how many of them something is written.
        changes: How often the folder was seen to have changed.
    """

    start: Path
    before: Found
    found: Found
    files: dict[str, str]
    seconds: float
    first: float
    changes: int


@dataclass
class Outcome:
    """What came of a disturbance.

    Attributes:
        moment: `before` anything was written, `during` it, or `after` all was.
        lost: What was there before and is no more.
        wrong: What looks finished and is not what it should be.
        unfinished: What the second run did not bring about.
        left: Files of unfinished work that are still there in the end.
    """

    moment: str
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def undisturbed(scene: Scene, inputs: Path, folder: Path) -> Undisturbed:
    """Run a scene as it is meant, and look at it all the time."""
    folder.mkdir()
    start, run, output = folder / "start", folder / "run", folder / "output.txt"
    shutil.copytree(inputs, start)
    for line in scene.before:
        forks.finished(line, start, output)
    before = scene.found(start)
    shutil.copytree(start, run)
    looks, changes, first = forks.states(run), 0, None
    seen, began = next(looks), time.monotonic()
    command = forks.plmrs(scene.line, run, output)
    while not command.ended():
        now = next(looks)
        if now != seen:
            seen, changes = now, changes + 1
            first = first or time.monotonic() - began
        time.sleep(PAUSE)
    seconds, found = time.monotonic() - began, scene.found(run)
    if command.code != 0 or found == before:
        raise RuntimeError(f"plmrs {scene.line}: {command.code}\n{command.said}")
    kept = {name: mark for name, mark in _files(start).items() if _files(run).get(name) == mark}
    shutil.rmtree(run)
    return Undisturbed(start, before, found, kept, seconds, first or 0.0, changes)


def disturb(scene: Scene, usual: Undisturbed, number: int, draw: random.Random, folder: Path) -> Outcome:
    """Send a signal to a scene's command, look at what lies there, and run it once more.

    Half of the moments are drawn from the time in which it writes, and half lie right behind a change of its folder:
    what is written last takes too short a time to be hit by the clock.
    """
    shutil.copytree(usual.start, folder)
    output = folder.with_name("output.txt")
    looks = forks.states(folder)
    seen = next(looks)
    by_clock = draw.random() < 0.5
    wait = draw.uniform(0.8 * usual.first, 1.02 * usual.seconds) if by_clock else draw.uniform(0, AT_ONCE)
    changes = 0 if by_clock else draw.randint(1, usual.changes)
    command = forks.plmrs(scene.line, folder, output)
    if by_clock:
        _until(command, wait)
    else:
        _after_changes(command, folder, seen, changes)
        _until(command, wait)
    command.send(number)
    hung = command.wait() is None
    outcome = Outcome(_moment(scene, usual, folder, seen))
    said = command.said
    if number == signal.SIGINT and (hung or command.code not in {130, 0} or "Traceback" in said):
        outcome.wrong.append(f"Ctrl-C ended in {command.code}: {said[-2000:]}")
    found = scene.found(folder)
    outcome.lost += [name for name in usual.before if name not in found]
    outcome.wrong += [
        f"{name} after the signal"
        for name, content in found.items()
        if content not in (usual.found.get(name), usual.before.get(name))
    ]
    _again(scene, usual, folder, output, outcome)
    if not (outcome.lost or outcome.wrong or outcome.unfinished):
        shutil.rmtree(folder)
    return outcome


def _until(command: forks.Command, seconds: float) -> None:
    limit = time.monotonic() + seconds
    while not command.ended() and time.monotonic() < limit:
        time.sleep(min(PAUSE, seconds))


def _after_changes(command: forks.Command, folder: Path, seen: object, changes: int) -> None:
    """Wait until a folder was seen to have changed so often."""
    for now in islice(forks.states(folder), None):
        if command.ended():
            return
        if now != seen:
            seen, changes = now, changes - 1
            if changes == 0:
                return
        time.sleep(PAUSE)


def _moment(scene: Scene, usual: Undisturbed, folder: Path, seen: object) -> str:
    if scene.found(folder) == usual.found:
        return "after"
    return "before" if next(forks.states(folder)) == seen else "during"


def _again(scene: Scene, usual: Undisturbed, folder: Path, output: Path, outcome: Outcome) -> None:
    """Run the command again, and compare what it leaves with what it leaves when it is not disturbed."""
    line = scene.second(folder)
    command = forks.plmrs(line, folder, output)
    command.wait()
    if command.code != 0:
        outcome.unfinished.append(f"plmrs {line} ended in {command.code}: {command.said[-2000:]}")
        return
    found, files = scene.found(folder), _files(folder)
    outcome.unfinished += [name for name in usual.found if name not in found]
    outcome.wrong += [f"{name} in the end" for name, content in found.items() if content != usual.found.get(name)]
    outcome.lost += [name for name, mark in usual.files.items() if files.get(name) != mark]
    outcome.left += [name for name in files if "partial" in name]


def _files(folder: Path) -> dict[str, str]:
    """What every file is, but for locks."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): digest(path) for path in paths}
