"""A process a device: shared units, and what happens when processes die."""

import gc
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from jobs import caches, encode
from listening import Listening

from plmrs.cache.find import list_caches, open_cache
from plmrs.cache.integrity import verify
from plmrs.cache.store import Cache
from plmrs.cli import main
from plmrs.data.dataset import Dataset, open_dataset
from plmrs.errors import UserError
from plmrs.plm.checkpoint import find_plm
from plmrs.preinfer import workers
from plmrs.preinfer.plan import Group
from plmrs.preinfer.serve import KEPT, Asks, Failed, Moved, Wrote, serve
from plmrs.preinfer.stage import Stage
from plmrs.workspace import Workspace

TWO = (0, 1)


@pytest.fixture
def workspace(workspace_of: Any, many: Dataset) -> Workspace:
    made: Workspace = workspace_of(many)
    return made


def line(workspace: Workspace, plm: Path, *devices: int) -> list[str]:
    """A command line."""
    places = ["--root", str(workspace.root), "--runs", str(workspace.runs), "--plm", str(plm)]
    return ["preinfer", *places, "--precision", "32", "--accelerator", "cpu", "--devices", *map(str, devices)]


def assert_close(found: Cache, expected: Cache) -> None:
    assert found.fingerprint == expected.fingerprint
    assert verify(found) == []
    for pooling in expected.poolings:
        assert np.allclose(found.read(pooling), expected.read(pooling), atol=4e-3), pooling


def spawned(parent: int) -> list[psutil.Process]:
    """The workers of a process."""
    return [child for child in psutil.Process(parent).children() if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.slow
def test_two_processes_make_the_cache_of_one(workspace: Workspace, workspace_of: Any, many: Dataset, opt: Path) -> None:
    progress = Listening()
    two = encode(workspace, opt, progress, devices=TWO)
    assert progress.advanced == 2000
    assert_close(two, encode(workspace_of(many, "alone"), opt))


def test_a_killed_worker_is_told_and_the_other_finishes(
    workspace: Workspace, workspace_of: Any, many: Dataset, opt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def kill_one() -> None:
        limit = time.monotonic() + 60
        while time.monotonic() < limit and not any(workspace.root.glob("cache/*/*/*.zarr/done/[0-9]*.json")):
            time.sleep(0.01)
        spawned(os.getpid())[0].kill()

    killer = threading.Thread(target=kill_one)
    killer.start()
    assert main(line(workspace, opt, *TWO)) == 0
    killer.join()
    said = capsys.readouterr().err
    assert "failed: it was killed (SIGKILL), as systems do when memory runs out. Its units go to the others." in said
    assert "Encoding: 2,000 items in" in said
    (made,) = list_caches(workspace)
    assert_close(made, encode(workspace_of(many, "alone"), opt))


def serving(stage: Stage, connection: Connection) -> Iterator[int]:
    """Take units as a worker does, and write zeros for each that the caller has done with."""
    while True:
        connection.send(Asks())
        unit = connection.recv()
        if unit is None:
            return
        texts, tokens = (int(np.diff(starts)[unit]) for starts in (stage.sink.layout.bounds, stage.sink.layout.tokens))
        connection.send(Moved(unit, texts - 1, tokens - 10))
        yield unit
        connection.send(Moved(unit, 1, 10))
        stage.sink.write_unit(unit, {name: np.zeros((texts, 32), np.float32) for name in stage.sink.poolings})
        connection.send(Wrote(unit))


def first_dies(stage: Stage, device: int, connection: Connection) -> None:
    for _ in serving(stage, connection):
        if device == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def all_die(stage: Stage, device: int, connection: Connection) -> None:
    for number, _ in enumerate(serving(stage, connection)):
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)


def all_fail_at_unit_4(stage: Stage, device: int, connection: Connection) -> None:
    for unit in serving(stage, connection):
        if unit == 4:
            connection.send(Failed("something about unit 4.", "Do something."))
            time.sleep(60)


def first_exits(stage: Stage, device: int, connection: Connection) -> None:
    if device == 0:
        sys.exit(3)
    for _ in serving(stage, connection):
        pass


def all_exit(stage: Stage, device: int, connection: Connection) -> None:
    sys.exit(3)


@pytest.mark.parametrize(
    ("serve", "says"),
    [
        (first_dies, "The process on cpu 0 failed: it was killed (SIGKILL), as systems do when memory runs out."),
        (first_exits, "The process on cpu 0 failed: it ended with exit code 3."),
    ],
)
@pytest.mark.usefixtures("quick_processes")
def test_the_others_take_over(
    workspace: Workspace, opt: Path, monkeypatch: pytest.MonkeyPatch, serve: Any, says: str
) -> None:
    monkeypatch.setattr(workers, "serve", serve)
    progress = Listening()
    made = encode(workspace, opt, progress, devices=TWO)
    assert f"! {says} Its units go to the others." in progress.lines
    assert made.is_complete
    assert verify(made) == []
    assert progress.advanced == 2000
    # What the dead one had computed of its unit is taken back.
    assert any(n < -200 for n in progress.moves) is (serve is first_dies)


@pytest.mark.parametrize(
    ("serve", "says", "remedy", "done"),
    [
        (all_die, r"The process on cpu \d failed: it was killed \(SIGKILL\)", KEPT, {2}),
        (all_exit, r"The process on cpu \d failed: it ended with exit code 3\.", KEPT, {0}),
    ],
)
@pytest.mark.usefixtures("quick_processes")
def test_when_no_worker_can_go_on_finished_units_stay(
    workspace: Workspace, opt: Path, monkeypatch: pytest.MonkeyPatch, serve: Any, says: str, remedy: str, done: Any
) -> None:
    monkeypatch.setattr(workers, "serve", serve)
    start = time.perf_counter()
    with pytest.raises(UserError, match=says) as caught:
        encode(workspace, opt, devices=TWO)
    assert time.perf_counter() - start < 30
    assert caught.value.remedy == remedy
    found = list_caches(workspace)
    assert sum(cache.n_units - len(cache.units_missing()) for cache in found) in done
    assert len(found) == (0 not in done)  # Without a finished unit there is nothing to keep.
    assert all(verify(cache) == [] for cache in found)
    assert multiprocessing.active_children() == []


@pytest.mark.usefixtures("quick_processes")
def test_a_unit_that_fails_twice_ends_the_job(workspace: Workspace, opt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "serve", all_fail_at_unit_4)
    progress = Listening()
    with pytest.raises(UserError, match=r"The process on cpu \d failed: something about unit 4\.") as caught:
        encode(workspace, opt, progress, devices=(0, 1, 2))
    assert caught.value.remedy == "Do something."
    # It is not tried on every device.
    assert len([line for line in progress.lines if line.startswith("! ")]) == 1
    (cache,) = list_caches(workspace)
    assert 4 in cache.units_missing()
    assert not set(range(4)) & set(cache.units_missing())
    assert verify(cache) == []


@pytest.mark.usefixtures("quick_processes")
def test_a_command_whose_workers_all_die_ends_with_exit_code_2(
    workspace: Workspace, opt: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(workers, "serve", all_die)
    assert main(line(workspace, opt, *TWO)) == 2
    *_, error, remedy = capsys.readouterr().err.strip().splitlines()
    assert error.startswith("Error: The process on cpu ")
    assert remedy == KEPT


def typed(arguments: list[str], heard: Path) -> None:
    """Run a command line as the leader of its own group of processes, as a terminal starts it."""
    os.setsid()
    with heard.open("w") as file:
        os.dup2(file.fileno(), 2)
    sys.exit(main(arguments))


@pytest.mark.parametrize("devices", [(0,), TWO])
def test_ctrl_c_ends_all_processes_with_one_line(
    workspace: Workspace, opt: Path, forked: Any, tmp_path: Path, devices: tuple[int, ...]
) -> None:
    command = forked(typed, line(workspace, opt, *devices), tmp_path / "heard")
    limit = time.monotonic() + 60

    def begun() -> bool:
        if devices == TWO:
            return len(spawned(command.pid)) == 2
        return any(workspace.root.glob("cache/*/*/*.zarr/done/[0-9]*.json"))

    while not begun():
        assert time.monotonic() < limit
        assert command.exitcode is None
        time.sleep(0.01)
    children = spawned(command.pid)
    if devices == TWO:
        # They are importing torch; the one that leads the group is to end them.
        for child in children:
            child.send_signal(signal.SIGINT)
        assert psutil.wait_procs(children, timeout=0.5)[0] == []
    os.killpg(command.pid, signal.SIGINT)
    command.join(30)
    assert command.exitcode == 130
    said = (tmp_path / "heard").read_text().splitlines()
    assert said[-1] == "Error: Interrupted."
    assert all(text.startswith(("Tokenising: ", "Encoding: stopped at ")) for text in said[:-1]), said
    assert psutil.wait_procs(children, timeout=10)[1] == []
    if devices == TWO:
        assert caches(workspace) == []
    else:
        (made,) = list_caches(workspace)
        assert verify(made) == []


@pytest.mark.slow
def test_workers_end_with_their_parent_though_they_compute(
    workspace: Workspace, make_plm: Any, forked: Any, tmp_path: Path
) -> None:
    large = make_plm("opt", hidden_size=512, ffn_dim=2048, word_embed_proj_dim=512, num_hidden_layers=16)
    command = forked(typed, line(workspace, large, *TWO), tmp_path / "heard")
    limit = time.monotonic() + 120
    while not (found := spawned(command.pid)) or min(sum(process.cpu_times()[:2]) for process in found) < 12:
        assert time.monotonic() < limit
        assert command.exitcode is None
        time.sleep(0.1)
    # A unit takes seconds, and both have begun one.
    command.kill()
    assert psutil.wait_procs(found, timeout=2)[1] == []
    assert list_caches(workspace)


@pytest.fixture
def stage(workspace: Workspace, opt: Path) -> Stage:
    """One with two units left."""
    cache = encode(workspace, opt)
    for unit in (2, 5):
        (cache.path / "done" / f"{unit}.json").unlink()
    dataset = open_dataset(workspace, "many")
    group, plm = Group(0, 4, True, 0), find_plm(str(opt))
    return Stage(open_cache(cache.path), None, group, plm, dataset, "32", None, None, "cpu")


@pytest.fixture
def pipe() -> Iterator[tuple[Connection, Connection]]:
    """The parent's and the worker's end; the worker runs in this process."""
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        yield ours, theirs


def said(connection: Connection) -> list[Any]:
    found = []
    while connection.poll():
        found.append(connection.recv())
    return found


def test_what_a_worker_says(stage: Stage, pipe: tuple[Connection, Connection]) -> None:
    ours, theirs = pipe
    for unit in (2, 5, None):
        ours.send(unit)
    serve(stage, 0, theirs)
    found = said(ours)
    assert found[0] == Asks()
    assert found.count(Asks()) == 3
    assert [message.unit for message in found if isinstance(message, Wrote)] == [2, 5]
    for unit in (2, 5):
        moved = [message for message in found if isinstance(message, Moved) and message.unit == unit]
        assert len(moved) > 1
        assert sum(message.texts for message in moved) == np.diff(stage.sink.layout.bounds)[unit]
        assert sum(message.tokens for message in moved) == np.diff(stage.sink.layout.tokens)[unit]
        assert found.index(moved[-1]) < found.index(Wrote(unit))
    assert stage.sink.is_complete


def failing(stage: Stage, pipe: tuple[Connection, Connection]) -> Failed:
    """What a worker says that fails at its first unit or before."""
    ours, theirs = pipe
    ours.send(2)
    ours.send(None)
    serve(stage, 0, theirs)
    failed = said(ours)[-1]
    assert isinstance(failed, Failed)
    assert 2 in stage.sink.units_missing()
    return failed


def test_a_worker_sends_its_error(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def pipe() -> tuple[Connection, Connection]:
        return multiprocessing.Pipe()

    def refused(*given: Any) -> None:
        raise ValueError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(Cache, "write_unit", refused)
        assert failing(stage, pipe()) == Failed("ValueError: no room", KEPT)
    assert "The worker on cpu 0 failed." in caplog.text
    without = find_plm(str(shutil.copytree(stage.plm.folder, tmp_path / "tiny-opt")))
    (without.folder / "model.safetensors").unlink()
    assert "cannot be read" in failing(replace(stage, plm=without), pipe()).message
    shutil.rmtree(stage.dataset.folder / "tokens")
    assert "tiny-opt-30.feather was replaced or removed meanwhile" in failing(stage, pipe()).message


def test_a_worker_whose_parent_is_gone_ends(stage: Stage, pipe: tuple[Connection, Connection]) -> None:
    ours, theirs = pipe
    ours.close()
    serve(stage, 0, theirs)
    gc.collect()  # Python warns of a buffer that only the collector frees: what was not sent.
    assert not stage.sink.is_complete
