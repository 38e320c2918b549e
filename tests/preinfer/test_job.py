"""Whole, in groups of blocks, and from an earlier boundary: the same cache, and Hugging Face's own states."""

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jobs import caches, chunks, encode, run
from listening import Listening

from plmrs.cache.find import list_caches
from plmrs.cache.integrity import verify
from plmrs.cache.store import Cache
from plmrs.data.dataset import Dataset, open_dataset
from plmrs.errors import UserError
from plmrs.plm import run as plm_run
from plmrs.plm.checkpoint import find_plm
from plmrs.plm.run import Runner
from plmrs.preinfer import command, intermediate
from plmrs.preinfer import run as running
from plmrs.preinfer.plan import COPIES, Sizes, sizes
from plmrs.preinfer.stage import Worker
from plmrs.workspace import Workspace, lock

pytestmark = pytest.mark.usefixtures("small_units")

N_BLOCKS = 4
WAYS: dict[str, tuple[Callable[[Sizes], int], list[str]]] = {
    "a block": (lambda of: max(of.embeddings, of.block + of.norm), ["block0", "block1", "block2", "block3"]),
    "two blocks": (lambda of: max(of.embeddings, 2 * of.block + of.norm), ["block0", "block2"]),
    "a block with the embeddings": (lambda of: of.embeddings + of.block, ["block1", "block3"]),
}
"""Bytes for weights, and the boundaries where the groups then end before the last."""


@pytest.fixture(scope="module")
def plm_of(make_plm: Any) -> Any:
    """Gives the folder of a family's PLM of four blocks."""

    def folder(family: str) -> Path:
        return Path(make_plm(family, **{"num_layers" if family == "t5" else "num_hidden_layers": N_BLOCKS}))

    return cache(folder)


@pytest.fixture
def workspace(workspace_of: Any, few: Dataset) -> Workspace:
    made: Workspace = workspace_of(few)
    return made


def memory(folder: Path, made: Cache, way: str = "a block") -> str:
    """The `--max-memory` that makes groups of this size."""
    of = sizes(find_plm(str(folder)), made.manifest["precision"], made.texts.length, made.layout)
    return f"{of.activations + COPIES * of.unit + WAYS[way][0](of)}"


@pytest.mark.parametrize(("precision", "dtype"), [("32", "float32"), ("bf16", "float16"), ("fp16", "float32")])
@pytest.mark.parametrize("family", ["bert", "llama", "opt", "t5"])
def test_groups_of_blocks_make_the_bytes_of_the_whole(
    workspace_of: Any, few: Dataset, plm_of: Any, family: str, precision: str, dtype: str
) -> None:
    folder = plm_of(family)
    options = {"precision": precision, "dtype": dtype, "keep_tokens": True}
    whole = encode(workspace_of(few, "whole"), folder, **options)
    assert whole.n_units >= 8
    assert len(chunks(whole)) == 2 + 4 * whole.n_units
    for way in WAYS if precision == "32" else ["a block"]:
        workspace = workspace_of(few, way)
        options["max_memory"] = memory(folder, whole, way)
        made = encode(workspace, folder, keep_intermediate=True, **options)
        assert caches(workspace) == [*WAYS[way][1], "final"]
        assert made.fingerprint == whole.fingerprint
        assert chunks(made) == chunks(whole)


@torch.no_grad()
def hugging_faces(folder: Path, text: str) -> tuple[list[torch.Tensor], torch.Tensor]:
    """A text alone through Hugging Face's whole model: its hidden states [tokens, H], and the last of them."""
    from transformers import AutoModel, AutoTokenizer, T5EncoderModel

    model_class = T5EncoderModel if find_plm(str(folder)).model_type == "t5" else AutoModel
    ids = AutoTokenizer.from_pretrained(folder)(text, truncation=True, max_length=30)["input_ids"]
    found = model_class.from_pretrained(folder).eval()(input_ids=torch.tensor([ids]), output_hidden_states=True)
    return [states[0] for states in found.hidden_states], found.last_hidden_state[0]


ITEMS = np.array([1, 13, 200, 36, 36, 7])


@pytest.mark.parametrize("family", ["bert", "llama", "opt", "t5"])
def test_states_are_hugging_faces_own(workspace: Workspace, plm_of: Any, family: str) -> None:
    folder = plm_of(family)
    texts = open_dataset(workspace, "few").texts_of(ITEMS.astype(np.int32))
    expected = [hugging_faces(folder, text) for text in texts]
    for k in (0, 2, 3):
        made = encode(workspace, folder, plm_last_n_unfreeze=N_BLOCKS - k, dtype="float32")
        assert (made.boundary, made.arrays) == (f"block{k}", ("hidden",))
        states, lengths = made.gather_hidden(ITEMS)
        assert np.allclose(states, torch.cat([hidden[k] for hidden, _ in expected]), atol=1e-5), k
        assert lengths.tolist() == [len(last) for _, last in expected]
    made = encode(workspace, folder, keep_tokens=True, dtype="float32")
    assert made.arrays == ("mean", "last", "cls", "hidden")
    last = [last for _, last in expected]
    assert np.allclose(made.gather_hidden(ITEMS)[0], torch.cat(last), atol=1e-5)
    for pooling, vectors in {
        "mean": [states.mean(0) for states in last],
        "last": [states[-1] for states in last],
    }.items():
        assert np.allclose(made.gather(ITEMS, pooling), torch.stack(vectors), atol=1e-5), pooling


@pytest.mark.parametrize(("precision", "kept"), [("32", "float32"), ("bf16", "bfloat16"), ("fp16", "float16")])
def test_from_boundary_to_boundary_is_as_if_at_once(
    workspace_of: Any, few: Dataset, opt: Path, precision: str, kept: str
) -> None:
    at_once = encode(workspace_of(few, "at once"), opt, precision=precision)
    workspace = workspace_of(few, "chained")
    encode(workspace, opt, precision=precision, plm_last_n_unfreeze=3, dtype=kept)
    for last_n, before in ((1, "block1"), (0, "block3")):
        progress = Listening()
        dtype = kept if last_n else "float16"
        made = encode(workspace, opt, progress, precision=precision, plm_last_n_unfreeze=last_n, dtype=dtype)
        assert any(f"/{before}-" in line for line in progress.lines if line.startswith("Starts from"))
        assert progress.advanced == 200
    assert caches(workspace) == ["block1", "block3", "final"]
    assert made.fingerprint == at_once.fingerprint
    assert chunks(made) == chunks(at_once)


def test_less_exact_states_make_another_cache(workspace_of: Any, few: Dataset, opt: Path) -> None:
    at_once = encode(workspace_of(few, "at once"), opt)
    workspace = workspace_of(few, "chained")
    first = encode(workspace, opt, plm_last_n_unfreeze=3, dtype="float16")
    second = encode(workspace, opt, plm_last_n_unfreeze=1, dtype="float32")
    third = encode(workspace, opt)
    assert [made.manifest["source"] for made in (first, second, third)] == [None, *[first.fingerprint] * 2]
    assert third.fingerprint != at_once.fingerprint
    assert np.allclose(third.read("mean"), at_once.read("mean"), atol=1e-2)
    assert not np.array_equal(third.read("mean"), at_once.read("mean"))
    # The groups on the way there are of the same lineage.
    workspace = workspace_of(few, "in groups")
    encode(workspace, opt, plm_last_n_unfreeze=3, dtype="float16")
    grouped = encode(workspace, opt, max_memory=memory(opt, at_once))
    assert grouped.fingerprint == third.fingerprint
    assert chunks(grouped) == chunks(third)


def test_t5_in_fp16_keeps_more_than_float16_between_its_blocks(workspace_of: Any, few: Dataset, plm_of: Any) -> None:
    folder = plm_of("t5")
    at_once = encode(workspace_of(few, "at once"), folder, precision="fp16")
    for dtype, exact in (("float32", True), ("float16", False)):
        workspace = workspace_of(few, dtype)
        encode(workspace, folder, precision="fp16", plm_last_n_unfreeze=2, dtype=dtype)
        made = encode(workspace, folder, precision="fp16")
        assert (made.fingerprint == at_once.fingerprint) is exact
        assert (chunks(made) == chunks(at_once)) is exact


def test_what_is_there_is_not_made_again_from_less_exact_states(workspace: Workspace, opt: Path) -> None:
    exact = encode(workspace, opt, plm_last_n_unfreeze=1, dtype="float32")
    encode(workspace, opt, plm_last_n_unfreeze=2, dtype="float16")
    progress = Listening()
    assert encode(workspace, opt, progress, plm_last_n_unfreeze=1, dtype="float32").path == exact.path
    assert f"The cache {exact.path} is complete; nothing is left to do." in progress.lines
    before = chunks(exact)
    (exact.path / "done" / "3.json").unlink()
    progress = Listening()
    assert encode(workspace, opt, progress, plm_last_n_unfreeze=1, dtype="float32").path == exact.path
    assert not any(line.startswith("Starts from") for line in progress.lines)
    assert chunks(exact) == before


def test_a_damaged_cache_is_no_start(workspace: Workspace, opt: Path) -> None:
    damaged = encode(workspace, opt, plm_last_n_unfreeze=1, dtype="float32")
    chunk = damaged.path / "hidden" / "c" / "2" / "0"
    content = bytearray(chunk.read_bytes())
    content[100] ^= 1
    chunk.write_bytes(content)
    progress = Listening()
    encode(workspace, opt, progress)
    assert not any(line.startswith("Starts from") for line in progress.lines)
    assert damaged.path.is_dir()


class Stop(BaseException):
    """As an interrupt."""


def interrupt(monkeypatch: pytest.MonkeyPatch, boundary: str, unit: int, *given: Any, **options: Any) -> None:
    """Run a job that is interrupted before it writes a unit."""
    write = Cache.write_unit

    def stopping(self: Cache, this: int, *states: Any) -> None:
        if (self.boundary, this) == (boundary, unit):
            raise Stop
        write(self, this, *states)

    with monkeypatch.context() as patched:
        patched.setattr(Cache, "write_unit", stopping)
        with pytest.raises(Stop):
            encode(*given, **options)


def test_what_lies_between_groups_is_removed(workspace: Workspace, opt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encode(workspace, opt)
    by_one, by_two = memory(opt, whole, "a block"), memory(opt, whole, "two blocks")
    intermediate.remove(whole)
    encode(workspace, opt, max_memory=by_one)
    assert caches(workspace) == ["final"]
    intermediate.remove(*list_caches(workspace))
    # Interrupted at the end of one boundary, in the midst of another, and at last with groups of another size.
    interrupt(monkeypatch, "block2", 0, workspace, opt, max_memory=by_one)
    assert caches(workspace) == ["block1"]
    interrupt(monkeypatch, "block3", 4, workspace, opt, max_memory=by_one)
    assert caches(workspace) == ["block2", "block3"]
    interrupt(monkeypatch, "final", 4, workspace, opt, max_memory=by_one)
    assert caches(workspace) == ["block3", "final"]
    progress = Listening()
    encode(workspace, opt, progress, max_memory=by_two)
    assert any("/block3-" in line for line in progress.lines if line.startswith("Starts from"))
    assert caches(workspace) == ["final"]
    # One that leads elsewhere than where a later command begins.
    intermediate.remove(*list_caches(workspace))
    interrupt(monkeypatch, "block2", 5, workspace, opt, max_memory=by_two)
    assert caches(workspace) == ["block0", "block2"]
    encode(workspace, opt)
    assert caches(workspace) == ["final"]


def test_a_command_that_was_killed_at_its_very_end_leaves_nothing_either(workspace: Workspace, opt: Path) -> None:
    made = encode(workspace, opt)
    encode(workspace, opt, plm_last_n_unfreeze=2, dtype="float32")
    (between,) = [cache for cache in list_caches(workspace) if cache.boundary == "block2"]
    (between.path / intermediate.INTERMEDIATE).touch()
    for name in (between.path.name, "block0-0123456789ab.zarr"):
        (between.path.with_name(f"{name}{intermediate.GONE}") / "hidden").mkdir(parents=True)
    encode(workspace, opt, keep_intermediate=True)
    assert between.path.is_dir()
    assert encode(workspace, opt).path == made.path
    assert caches(workspace) == ["final"]


def test_two_commands_may_ask_at_once_for_what_led_on(
    workspace: Workspace, opt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = encode(workspace, opt)
    mark = made.path / intermediate.INTERMEDIATE

    def seen(cache: Cache) -> bool:
        """The other command is a little faster."""
        found = intermediate.leads_on(cache)
        mark.unlink(missing_ok=True)
        return found

    mark.touch()
    monkeypatch.setattr(command, "leads_on", seen)
    assert encode(workspace, opt).path == made.path
    assert not mark.exists()


def test_what_was_asked_for_is_kept_though_it_leads_on(
    workspace: Workspace, opt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"plm_last_n_unfreeze": 4, "dtype": "float32"}
    interrupt(monkeypatch, "block0", 4, workspace, opt, **asked)
    whole = encode(workspace, opt)
    by_one = memory(opt, whole)
    intermediate.remove(whole)
    encode(workspace, opt, max_memory=by_one)
    assert caches(workspace) == ["block0", "final"]
    # And what lay between groups is kept once it is asked for.
    intermediate.remove(whole)
    interrupt(monkeypatch, "final", 4, workspace, opt, max_memory=by_one)
    encode(workspace, opt, plm_last_n_unfreeze=1, dtype="float32")
    encode(workspace, opt)
    assert caches(workspace) == ["block0", "block3", "final"]


def test_what_lay_between_groups_and_is_begun_is_kept_once_it_is_asked_for(
    workspace: Workspace, opt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = encode(workspace, opt)
    by_two = memory(opt, whole, "two blocks")
    intermediate.remove(whole)
    interrupt(monkeypatch, "block2", 4, workspace, opt, max_memory=by_two)
    encode(workspace, opt, plm_last_n_unfreeze=2, dtype="float32")
    encode(workspace, opt, max_memory=by_two)
    assert caches(workspace) == ["block2", "final"]


def test_a_cache_another_process_starts_from_is_left_to_it(
    workspace: Workspace, opt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = encode(workspace, opt)
    by_one = memory(opt, whole)
    intermediate.remove(whole)
    interrupt(monkeypatch, "final", 4, workspace, opt, max_memory=by_one)
    (between,) = [cache for cache in list_caches(workspace) if cache.boundary == "block3"]
    with lock(between.path, "testing"):
        with pytest.raises(UserError, match="Another plmrs process is encoding few"):
            encode(workspace, opt)
        intermediate.tidy(workspace, whole)
        assert between.path.is_dir()
    encode(workspace, opt)
    assert caches(workspace) == ["final"]


def test_progress_adds_up_to_all_items(workspace: Workspace, opt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    progress = Listening()
    whole = encode(workspace, opt, progress)
    assert progress.tracked == [("Tokenising", 200, 0), ("Encoding", 200, 0)]
    assert progress.advanced == 200
    (whole.path / "done" / "2.json").unlink()
    progress = Listening()
    encode(workspace, opt, progress)
    left = 200 * np.diff(whole.layout.tokens)[2] / whole.texts.n_tokens
    assert progress.tracked == [("Encoding", 200, round(200 - left))]
    assert progress.advanced == 200
    by_one = memory(opt, whole)
    intermediate.remove(whole)
    interrupt(monkeypatch, "block2", 4, workspace, opt, max_memory=by_one)
    progress = Listening()
    encode(workspace, opt, progress, max_memory=by_one)
    # Three blocks are left, and four units of eight of the first of them are there.
    assert len(progress.tracked) == 1
    assert 200 / 3 * 0.4 < progress.tracked[0][2] < 200 / 3 * 0.6
    assert progress.advanced == 200


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Texts and tokens of each, padding counted, of every batch that runs."""
    found: list[tuple[int, int]] = []
    run_batch = Runner.run

    def counted(self: Runner, inputs: torch.Tensor, lengths: Any) -> Any:
        found.append((len(lengths), int(lengths.max())))
        return run_batch(self, inputs, lengths)

    monkeypatch.setattr(Runner, "run", counted)
    return found


def test_a_large_batch_size_does_not_exceed_the_memory(
    workspace_of: Any, few: Dataset, opt: Path, monkeypatch: pytest.MonkeyPatch, ran: list[tuple[int, int]]
) -> None:
    monkeypatch.setattr(plm_run, "TOKENS_A_BATCH", 64)
    at_once = encode(workspace_of(few, "at once"), opt)
    assert max(n * width for n, width in ran) <= 64
    of = sizes(find_plm(str(opt)), "32", at_once.texts.length, at_once.layout, 1000)
    assert of.batch > 200
    whole, a_block = of.embeddings + N_BLOCKS * of.block + of.norm, max(of.embeddings, of.block + of.norm)
    for tokens, weights, n_groups in ((200, whole, 1), (64, a_block, 5)):
        ran.clear()
        progress = Listening()
        given = str(COPIES * of.unit + tokens * of.token + weights)
        made = encode(workspace_of(few, f"{tokens} tokens"), opt, progress, batch_size=1000, max_memory=given)
        assert tokens / 2 < max(n * width for n, width in ran) <= tokens
        line = f"At most {tokens} tokens are at work at once, padding counted: the memory does not hold more."
        assert line in progress.lines
        assert any(line.startswith(f"{n_groups} groups") for line in progress.lines) is (n_groups > 1)
        assert np.allclose(made.read("mean"), at_once.read("mean"), atol=4e-3)
    ran.clear()
    progress = Listening()
    encode(workspace_of(few, "much memory"), opt, progress, batch_size=1000, max_memory="1GiB")
    assert max(n * width for n, width in ran) > 200
    assert not any(line.startswith("At most") for line in progress.lines)


def test_a_text_longer_than_a_batch_counts(
    workspace: Workspace, opt: Path, monkeypatch: pytest.MonkeyPatch, ran: list[tuple[int, int]]
) -> None:
    made = encode(workspace, opt)
    whole = sizes(find_plm(str(opt)), "32", made.texts.length, made.layout)
    monkeypatch.setattr(plm_run, "TOKENS_A_BATCH", 8)
    longest = int(made.texts.length[0])
    assert longest > 8
    of = sizes(find_plm(str(opt)), "32", made.texts.length, made.layout)
    assert (of.batch, of.token) == (longest, whole.token)
    intermediate.remove(made)
    ran.clear()
    encode(workspace, opt)
    assert max(n * width for n, width in ran) == longest


def test_what_is_computed_is_counted_in_whole_runs_of_the_plm(
    workspace: Workspace, opt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[running.Work] = []
    monkeypatch.setattr(command, "run_job", lambda *given: done.append(running.run_job(*given)) or done[-1])
    whole = encode(workspace, opt)
    ways = [memory(opt, whole, way) for way in WAYS]
    for given in ways:
        intermediate.remove(whole)
        encode(workspace, opt, max_memory=given)
    for work in done:
        assert (round(work.items, 6), round(work.tokens, 6)) == (200, whole.texts.n_tokens)
        assert work.seconds > 0
    (whole.path / "done" / "3.json").unlink()
    encode(workspace, opt)
    assert round(done[-1].tokens, 6) == np.diff(whole.layout.tokens)[3]


def test_what_is_computed_now_is_told(workspace: Workspace, opt: Path) -> None:
    def told(**options: Any) -> tuple[dict[str, Any], Any]:
        table = run(workspace, opt, **options)
        return {str(name): value for name, value in table.rows}, table.notes

    cells, notes = told()
    assert cells["Texts encoded"] < 200
    assert notes[1:] == ["Items with identical texts share one."]
    assert {"Seconds", "Items/s", "Tokens/s"} <= set(cells)
    (made,) = list_caches(workspace)
    for unit in range(made.n_units // 2):
        (made.path / "done" / f"{unit}.json").unlink()
    _, notes = told()
    assert notes[1].startswith("Seconds and speeds are those of the 1")
    assert notes[1].endswith(" items encoded now.")
    in_three = memory(opt, made, "a block with the embeddings")
    intermediate.remove(made)
    cells, notes = told(max_memory=in_three)
    assert cells["Groups of blocks"] == "embeddings, 0; 1–2; 3"
    assert len(notes) == 2
    cells, _ = told()
    assert not {"Seconds", "Items/s", "Tokens/s"} & set(cells)


def test_a_disk_without_room_is_refused_first(workspace: Workspace, opt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = running.shutil.disk_usage(workspace.root)._replace(free=1000)
    monkeypatch.setattr(running.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="needs 0 MB more, 0 MB are free there"):
        encode(workspace, opt)
    assert caches(workspace) == []


def test_a_unit_that_is_being_written_is_waited_for(
    workspace: Workspace, opt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a cache that has no unit would be removed, and another process let in, while one is being written."""
    write, compute = Cache.write_unit, Worker.compute

    def slowly(self: Cache, unit: int, *given: Any) -> None:
        time.sleep(0.5)
        write(self, unit, *given)

    def stopping(self: Worker, unit: int, *given: Any) -> Any:
        if unit == 1:
            raise Stop
        return compute(self, unit, *given)

    with monkeypatch.context() as patched:
        patched.setattr(Cache, "write_unit", slowly)
        patched.setattr(Worker, "compute", stopping)
        with pytest.raises(Stop):
            encode(workspace, opt)
    (made,) = list_caches(workspace)
    assert 0 not in made.units_missing()
    assert verify(made) == []
    encode(workspace, opt)


def test_the_files_of_a_killed_process_are_removed(workspace: Workspace, opt: Path) -> None:
    made = encode(workspace, opt)
    (made.path / "done" / "1.json").unlink()
    left = [made.path / "mean" / "c" / "1" / "0.partial-ab12cd34", made.path.with_name(f"{made.path.name}.partial-0")]
    left[0].write_bytes(b"half")
    left[1].mkdir()
    encode(workspace, opt)
    assert not any(path.exists() for path in left)
