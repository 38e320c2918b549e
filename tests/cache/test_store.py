import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr

from plmrs.cache import write
from plmrs.cache.create import create_cache, new_manifest, remove_partial
from plmrs.cache.dtypes import STORED
from plmrs.cache.find import list_caches, open_cache
from plmrs.cache.store import Cache
from plmrs.cache.texts import Texts
from plmrs.data.dataset import Dataset
from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm
from plmrs.workspace import Workspace

N, H = 600, 16
TORCH = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


def rounded(values: Any, dtype: str) -> Any:
    """What is left of float32 numbers, as PyTorch rounds them."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(TORCH[dtype]).float().numpy()


@pytest.mark.parametrize("dtype", STORED)
def test_what_is_written_is_read(make_cache: Any, texts: Texts, dtype: str) -> None:
    made = make_cache(dtype=dtype)
    cache = open_cache(made.cache.path)
    assert cache == made.cache
    assert (cache.n_items, cache.hidden_size, cache.n_units) == (N, H, 4)
    assert (cache.boundary, cache.blocks, cache.dtype, cache.plm) == ("final", 4, dtype, "someone/tiny")
    assert cache.poolings == cache.arrays == ("mean", "last", "cls")
    assert cache.is_complete
    assert cache.counts() == {"items": N, "texts": len(texts), "tokens": texts.n_tokens}
    for name in cache.poolings:
        found = cache.read(name)
        assert found.dtype == (np.float16 if dtype == "float16" else np.float32)
        assert np.array_equal(found, rounded(made.pooled[name][texts.text_of_item], dtype))


@pytest.mark.parametrize("dtype", STORED)
def test_hidden_states_of_a_unit_are_read(make_cache: Any, dtype: str) -> None:
    made = make_cache(blocks=2, dtype=dtype)
    cache = open_cache(made.cache.path)
    assert (cache.boundary, cache.arrays, cache.poolings) == ("block2", ("hidden",), ())
    for unit, (first, stop) in enumerate(zip(cache.layout.bounds[:-1], cache.layout.bounds[1:], strict=True)):
        found = cache.read_unit_hidden(unit)
        assert found.dtype == STORED[dtype]
        assert found.flags.writeable
        expected = rounded(np.concatenate(made.hidden[first:stop]), dtype)
        assert np.array_equal(found if dtype != "bfloat16" else (found.astype(np.uint32) << 16).view("f4"), expected)


def test_it_is_a_zarr_group_others_can_read(make_cache: Any, texts: Texts) -> None:
    made = make_cache(keep_tokens=True)
    cache, layout = made.cache, made.cache.layout
    group = zarr.open_group(cache.path, mode="r")
    names = ["cls", "done", "hidden", "last", "length", "mean", "text_of_item"]
    assert sorted(name for name, _ in group.members()) == names
    assert group.attrs["plm_licence"] == "mit"
    assert np.array_equal(group["length"][:], texts.length)  # type: ignore[index]
    assert np.array_equal(group["text_of_item"][:], texts.text_of_item)  # type: ignore[index]
    for name, rows in (("last", layout.most_texts), ("hidden", layout.most_tokens)):
        array: Any = group[name]
        assert array.shape == (4 * rows, H)
        assert array.chunks == (rows, H)
        assert array.shards is None
        assert [type(codec).__name__ for codec in array.compressors] == ["Crc32cCodec"]
        assert np.isnan(array.fill_value)
        assert [(cache.path / name / "c" / str(u) / "0").stat().st_size for u in range(4)] == [rows * H * 2 + 4] * 4
        starts = layout.bounds if name == "last" else layout.tokens
        everything = made.pooled["last"] if name == "last" else np.concatenate(made.hidden)
        for unit in range(4):
            chunk, n = array[unit * rows : (unit + 1) * rows], starts[unit + 1] - starts[unit]
            assert np.array_equal(chunk[:n], everything[starts[unit] : starts[unit + 1]].astype(np.float16))
            assert np.isnan(chunk[n:]).all()
    assert cache.n_bytes == 4 * H * 2 * (3 * layout.most_texts + layout.most_tokens)


@pytest.mark.parametrize("block", [1, 7 * H, write.BLOCK], ids=["a row", "seven rows", "a unit at once"])
def test_zarr_writes_the_same_bytes(
    make_cache: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(write, "BLOCK", block)
    made = make_cache(blocks=1, dtype="float32")
    layout = made.cache.layout
    array: Any = zarr.open_array(made.cache.path / "hidden", mode="r")
    again = zarr.create_array(
        tmp_path / "again",
        shape=array.shape,
        chunks=array.chunks,
        dtype=array.dtype,
        filters=None,
        compressors=array.compressors,
        fill_value=np.nan,
    )
    for unit in range(4):
        states = np.concatenate(made.hidden[layout.bounds[unit] : layout.bounds[unit + 1]])
        again[unit * layout.most_tokens : unit * layout.most_tokens + len(states)] = states
        chunk = Path("c") / str(unit) / "0"
        assert (tmp_path / "again" / chunk).read_bytes() == (made.cache.path / "hidden" / chunk).read_bytes()


def test_a_cache_in_the_making_knows_what_is_missing(make_cache: Any) -> None:
    made = make_cache(units=[])
    cache = made.cache
    assert cache.units_missing() == [0, 1, 2, 3]
    assert cache.counts() == {"items": 0, "texts": 0, "tokens": 0}
    made.write([1])
    assert cache.units_missing() == [0, 2, 3]
    assert not cache.is_complete
    assert cache.counts()["texts"] == cache.layout.bounds[2] - cache.layout.bounds[1]
    for read in (lambda: cache.read("mean"), lambda: cache.gather(np.array([1]), "mean")):
        with pytest.raises(UserError, match="3 of 4 units are missing"):
            read()
    with pytest.raises(UserError, match=r"Unit 2 of mean in .* is damaged: it has no done-mark"):
        cache.read_unit(2, "mean")
    made.write([0, 2, 3])
    assert cache.is_complete


def test_what_a_unit_took_is_summed(make_cache: Any) -> None:
    made = make_cache()
    cache = made.cache
    for unit, seconds in ((0, 1.5), (2, 2)):
        pooled = {name: cache.read_unit(unit, name) for name in cache.poolings}
        cache.write_unit(unit, pooled, counts={"seconds": seconds})
    assert cache.counts()["seconds"] == 3.5
    assert cache.counts()["items"] == N
    assert np.array_equal(cache.read("mean"), made.pooled["mean"].astype(np.float16)[cache.texts.text_of_item])


def test_what_it_does_not_hold_is_refused(make_cache: Any) -> None:
    final, middle = make_cache().cache, make_cache(blocks=0).cache
    with pytest.raises(UserError, match="holds mean, last, cls, not max"):
        final.read("max")
    with pytest.raises(UserError, match="holds mean, last, cls, not hidden"):
        final.gather_hidden(np.array([1]))
    with pytest.raises(UserError, match="holds mean, last, cls, not hidden"):
        final.read_unit_hidden(0)
    with pytest.raises(UserError, match=r"block0-.* holds hidden behind block 0, not mean"):
        middle.read("mean")
    with pytest.raises(UserError, match="holds hidden behind block 0, not mean"):
        middle.gather(np.array([1]), "mean")


def test_states_of_another_shape_are_not_written(make_cache: Any) -> None:
    made = make_cache(units=[], keep_tokens=True)
    cache = made.cache
    n, tokens = int(cache.layout.bounds[1]), int(cache.layout.tokens[1])
    pooled, hidden = {name: np.zeros((n, H)) for name in cache.poolings}, np.zeros((tokens, H))
    for bad in (
        (pooled, None),
        (None, hidden),
        (pooled, hidden[1:]),
        ({**pooled, "cls": np.zeros((n + 1, H))}, hidden),
        ({**pooled, "cls": np.zeros((n, H + 1))}, hidden),
    ):
        with pytest.raises(ValueError, match="of unit 0"):
            cache.write_unit(0, *bad)
    assert cache.units_missing() == [0, 1, 2, 3]
    assert not list(cache.path.glob("*/c/*/*"))[2:]  # The tables alone.


@pytest.mark.parametrize(
    ("dtype", "value", "remedy"),
    [
        ("float16", 65_520, "Use --dtype bfloat16 or --dtype float32."),
        ("float16", -1e30, "Use --dtype bfloat16 or --dtype float32."),
        ("bfloat16", 3.4e38, "Use --dtype float32."),
    ],
)
def test_a_number_too_large_for_the_dtype_is_no_infinity(
    make_cache: Any, dtype: str, value: float, remedy: str
) -> None:
    made = make_cache(units=[0], blocks=1, dtype=dtype)
    made.hidden[-1][-1, -1] = value
    made.write([1, 2])
    with pytest.raises(UserError, match=f"States of someone/tiny are too large for {dtype}") as caught:
        made.write([3])
    assert caught.value.remedy == remedy
    assert made.cache.units_missing() == [3]
    assert not list(made.cache.path.glob("hidden/c/3/*"))
    made.hidden[-1][-1, -1] = 65_519 if dtype == "float16" else 3.3e38
    made.write([3])
    assert made.cache.is_complete


@pytest.mark.parametrize("dtype", STORED)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_states_that_are_not_finite_are_not_stored(make_cache: Any, dtype: str, value: float) -> None:
    made = make_cache(units=[0], dtype=dtype)
    made.pooled["cls"][-1, 0] = value
    with pytest.raises(UserError, match="States of someone/tiny are not finite") as caught:
        made.write([3])
    assert "weights may be damaged" in caught.value.remedy
    half = make_cache(units=[], dtype=dtype, precision="fp16")
    half.pooled["cls"][-1, 0] = value
    with pytest.raises(UserError, match="are not finite") as caught:
        half.write([3])
    assert caught.value.remedy == "Use --precision 32."


def test_a_disk_that_refuses_leaves_no_mark(make_cache: Any, workspace: Workspace, monkeypatch: Any) -> None:
    made = make_cache(units=[0])
    cache = made.cache

    def full_disk(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("plmrs.workspace.os.replace", full_disk)
        for unit in (0, 1):  # One that was done, and one that was not.
            with pytest.raises(UserError, match="No space left on device") as caught:
                made.write([unit])
    assert "finished units are kept" in caught.value.remedy
    assert cache.units_missing() == [0, 1, 2, 3]
    with monkeypatch.context() as patch:
        patch.setattr("zarr.storage._local._put", full_disk)
        with pytest.raises(UserError, match="No space left on device"):
            make_cache(length=10)
    assert list_caches(workspace) == [cache]
    assert [path.name for path in cache.path.parent.iterdir()] == [cache.path.name]


def test_what_a_killed_process_left_is_removed(make_cache: Any) -> None:
    made = make_cache()
    path = made.cache.path
    half = path / "mean" / "c" / "0" / ".0123.partial"
    chunk = path / "mean" / "c" / "0" / "0.partial-1234"
    mark = path / "done" / "2.partial-1234.json"
    for file in (half, chunk, mark):
        file.write_text("half")
    begun = path.with_name(f"{path.name}.partial-1234")
    begun.mkdir()
    remove_partial(path)
    assert not any(left.exists() for left in (half, chunk, mark, begun))
    assert made.cache.is_complete
    assert made.cache.read("mean").shape == (N, H)


def test_a_killed_writer_leaves_nothing_that_looks_written(make_cache: Any, tmp_path: Path) -> None:
    """Killed while it writes unit after unit: what has a mark is sound, and the rest is found missing."""
    from plmrs.cache.integrity import verify

    made = make_cache(units=[], keep_tokens=True)
    code = f"""
import itertools, numpy as np
from plmrs.cache.find import open_cache
from pathlib import Path
cache = open_cache(Path({str(made.cache.path)!r}))
print("ready", flush=True)
for unit in itertools.chain(range(4), itertools.cycle(range(4))):
    n, tokens = np.diff(cache.layout.bounds)[unit], np.diff(cache.layout.tokens)[unit]
    cache.write_unit(unit, dict.fromkeys(cache.poolings, np.ones((n, {H}))), np.ones((tokens, {H})))
"""
    for wait in (0.0, 0.01, 0.03):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(wait)
        process.kill()
        process.wait()
        process.stdout.close()
        assert verify(made.cache) == []
    remove_partial(made.cache.path)
    made.write(made.cache.units_missing())
    assert made.cache.is_complete
    assert verify(made.cache) == []


def test_writing_needs_little_memory(workspace: Workspace, small_dataset: Dataset, plm: Plm, tmp_path: Path) -> None:
    length = np.full(200, 100, np.int32)
    texts = Texts(length, np.tile(np.arange(200, dtype=np.int32), 3))
    wide = Plm("wide", plm.folder, "hub:wide@1", None, "bert", 1_024, 4, 64, ())
    manifest = new_manifest(small_dataset, wide, texts, 100, "32", blocks=1)
    cache = create_cache(tmp_path / "wide.zarr", manifest, texts)
    hidden = np.ones((int(cache.layout.tokens[1]), 1_024), np.float32)
    cache.write_unit(0, hidden=hidden[:])
    tracemalloc.start()
    cache.write_unit(0, hidden=hidden)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert hidden.nbytes > 15e6
    assert peak < hidden.nbytes / 4


def test_a_cache_is_read_without_torch_and_zarr(make_cache: Any) -> None:
    path = make_cache(keep_tokens=True).cache.path
    code = (
        "import sys, numpy as np; from pathlib import Path; from plmrs.cache.find import open_cache;"
        f"cache = open_cache(Path({str(path)!r})); cache.read('mean'); cache.gather_hidden(np.array([3, 4]));"
        "print([name for name in ('torch', 'transformers', 'zarr') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_manifest_tells_what_it_was_made_with(make_cache: Any, small_dataset: Dataset, plm: Plm) -> None:
    cache = make_cache(units=[], source="0123456789ab", keep_tokens=True).cache
    told = cache.manifest
    assert told["texts_fingerprint"] == small_dataset.texts_fingerprint
    assert (told["plm"], told["plm_identity"], told["plm_licence"]) == ("someone/tiny", "hub:someone/tiny@1", "mit")
    assert (told["tokenizer_identity"], told["source"]) == (plm.tokenizer_identity, "0123456789ab")
    assert (told["boundary"], told["tokenized_len"], told["precision"], told["dtype"]) == ("final", 40, "32", "float16")
    assert (told["keeps_tokens"], told["poolings"]) == (True, ["mean", "last", "cls"])
    assert cache.path.name == f"final-{told['fingerprint']}.zarr"
    assert cache.path.parent.name == "someone--tiny"
    assert json.loads((cache.path / "zarr.json").read_text())["attributes"] == told


def test_everything_that_states_depend_on_is_in_the_fingerprint(make_cache: Any, workspace: Workspace) -> None:
    options: list[dict[str, Any]] = [
        {},
        {"blocks": 2},
        {"blocks": 3},
        {"dtype": "bfloat16"},
        {"dtype": "float32"},
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"keep_tokens": True},
        {"source": "0123456789ab"},
        {"length": 30},
        {"plm_differs": {"identity": "hub:someone/tiny@2"}},
    ]
    caches = [make_cache(units=[], **option).cache for option in options]
    assert len({cache.fingerprint for cache in caches}) == len(options)
    assert {cache.path for cache in list_caches(workspace)} == {cache.path for cache in caches}
    layouts = {tuple(cache.layout.bounds.tolist()) for cache in caches}
    assert len(layouts) == 1


def test_a_boundary_the_plm_does_not_have_is_an_error(make_cache: Any) -> None:
    for blocks in (-1, 5):
        with pytest.raises(ValueError, match="has 4 blocks"):
            make_cache(blocks=blocks)
    assert isinstance(make_cache(units=[], blocks=4).cache, Cache)
