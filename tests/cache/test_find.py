import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plmrs.cache.dtypes import Dtype
from plmrs.cache.find import find_cache, list_caches
from plmrs.cache.lineage import deepest_start, exact_dtype, lineage
from plmrs.cache.store import Cache
from plmrs.cache.texts import Texts, text_table
from plmrs.data.dataset import Dataset
from plmrs.plm.checkpoint import Plm, find_plm
from plmrs.workspace import Workspace

N = 600


def test_the_newest_complete_fitting_cache_is_found(
    make_cache: Any, workspace: Workspace, small_dataset: Dataset, make_dataset: Any
) -> None:
    def find(name: str | None, length: int = 40, precision: str | None = None, **wanted: Any) -> Cache | None:
        return find_cache(workspace, small_dataset, name, length, precision, **wanted)

    full = make_cache().cache
    assert find(None) == full == find("someone/tiny")
    assert find("someone/other") is None
    assert find(None, 20) is None
    assert find(None, precision="bf16") is None
    newer = make_cache(units=[0], precision="bf16")
    assert find(None) == full  # It is not complete yet.
    newer.write([1, 2, 3])
    assert find(None) == newer.cache
    assert find("someone/tiny", precision="32") == full
    assert list_caches(workspace) == [newer.cache, full]
    assert list_caches(workspace, "other") == []
    changed = make_dataset(workspace, "small", [f"text {i}" for i in range(N)])
    assert find_cache(workspace, changed, None, 40) is None
    (full.path / "zarr.json").write_text("{")
    assert list_caches(workspace) == [newer.cache]
    shutil.rmtree(newer.cache.path / "done")
    assert list_caches(workspace) == [newer.cache]
    assert find(None) is None


def test_a_cache_that_goes_while_they_are_listed_is_left_out(
    make_cache: Any, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may remove what lay between its groups of blocks at any moment."""
    kept, gone = make_cache().cache, make_cache(blocks=2).cache
    leads_nowhere = gone.path.with_name("gone.zarr")
    leads_nowhere.symlink_to(tmp_path / "gone")  # As one that goes before its time is looked at.
    assert list_caches(workspace) == [gone, kept]
    leads_nowhere.unlink()
    read = Path.read_text

    def late(self: Path, *given: Any, **options: Any) -> str:
        if self == gone.path / "zarr.json":
            shutil.rmtree(gone.path)
        return read(self, *given, **options)

    monkeypatch.setattr(Path, "read_text", late)
    assert list_caches(workspace) == [kept]
    assert gone.units_missing() == list(range(4))
    assert gone.counts() == {"items": 0, "texts": 0, "tokens": 0}


def test_a_boundary_is_found_only_where_it_is_asked_for(
    make_cache: Any, workspace: Workspace, small_dataset: Dataset
) -> None:
    def find(**wanted: Any) -> Cache | None:
        return find_cache(workspace, small_dataset, "someone/tiny", 40, **wanted)

    middle = make_cache(blocks=2).cache
    assert find() is None
    assert find(boundary="block2") == middle
    assert find(boundary="block3") is None
    final = make_cache().cache
    assert find() == final
    assert find(keeps_tokens=True) is None
    tokens = make_cache(keep_tokens=True, dtype="bfloat16").cache
    assert find(keeps_tokens=True) == tokens == find(dtype="bfloat16") == find()
    assert find(dtype="float16") == final
    assert find(dtype="float32") is None
    make_cache(blocks=0)
    assert find() == tokens  # The newest of all is of another boundary.


def test_a_folders_cache_is_found_by_its_files_wherever_they_lie(
    make_cache: Any, workspace: Workspace, small_dataset: Dataset, tiny_bert: Path, tmp_path: Path
) -> None:
    plm = find_plm(str(tiny_bert))
    cache = make_cache(plm_differs={"name": plm.name, "identity": plm.identity}).cache
    assert find_cache(workspace, small_dataset, str(tiny_bert), 40) == cache
    copy = tmp_path / "moved"
    shutil.copytree(tiny_bert, copy)
    assert find_cache(workspace, small_dataset, str(copy), 40) == cache
    (copy / "config.json").write_text((copy / "config.json").read_text() + "\n")
    assert find_cache(workspace, small_dataset, str(copy), 40) is None


def test_work_starts_at_the_deepest_sound_cache(
    make_cache: Any, workspace: Workspace, small_dataset: Dataset, plm: Plm, texts: Texts, ragged: Any
) -> None:
    def start(blocks: int, precision: Any = "32", its_plm: Plm = plm, its_texts: Texts = texts) -> Cache | None:
        return deepest_start(workspace, small_dataset, its_plm, its_texts, 40, precision, "float32", blocks)

    assert start(4) is None
    first = make_cache(blocks=1).cache
    third = make_cache(blocks=3)
    unfinished = make_cache(units=[0, 1, 2], blocks=2)
    make_cache(keep_tokens=True)  # Behind the final norm nothing goes on.
    make_cache(blocks=3, precision="bf16")
    make_cache(blocks=3, length=30)
    assert start(4) == third.cache
    assert start(3) == first == start(2)
    assert start(1) is None
    assert start(0) is None
    unfinished.write([3])
    assert start(3) == unfinished.cache
    chunk = third.cache.path / "hidden" / "c" / "1" / "0"
    content = bytearray(chunk.read_bytes())
    content[77] ^= 1
    chunk.write_bytes(content)
    assert start(4) == unfinished.cache  # The deeper one is damaged.
    third.write([1])
    assert start(4) == third.cache
    bf16 = start(4, "bf16")
    assert bf16 is not None
    assert bf16.manifest["precision"] == "bf16"
    assert start(4, "fp16") is None
    assert start(4, its_plm=replace(plm, identity="hub:someone/tiny@2")) is None
    assert start(4, its_texts=text_table(ragged([[1], [2]]))) is None


def test_of_one_boundary_the_exact_cache_is_taken(
    make_cache: Any, workspace: Workspace, small_dataset: Dataset, plm: Plm, texts: Texts
) -> None:
    exact = make_cache(blocks=2, dtype="float32").cache
    derived = make_cache(blocks=2, dtype="float32", source="0123456789ab").cache
    rounded = make_cache(blocks=2).cache
    assert deepest_start(workspace, small_dataset, plm, texts, 40, "32", "float32", 3) == exact
    assert lineage(None, "float32") is None
    assert lineage(exact, "float32") is None
    assert lineage(rounded, "float32") == rounded.fingerprint
    assert lineage(derived, "float32") == "0123456789ab"
    # What is exact depends on what was computed.
    half, brain = make_cache(blocks=1).cache, make_cache(blocks=1, dtype="bfloat16").cache
    kept: tuple[Dtype, ...] = ("float32", "bfloat16", "float16")
    assert [lineage(half, states) is None for states in kept] == [False, False, True]
    assert [lineage(brain, states) is None for states in kept] == [False, True, False]
    assert [lineage(exact, states) is None for states in kept] == [True, True, True]


def test_of_t5_in_fp16_only_float32_keeps_all(
    make_cache: Any, workspace: Workspace, small_dataset: Dataset, plm: Plm, texts: Texts
) -> None:
    t5 = replace(plm, model_type="t5")
    found = [exact_dtype(its, precision) for its in (plm, t5) for precision in ("32", "bf16", "fp16")]
    assert found == ["float32", "bfloat16", "float16", "float32", "bfloat16", "float32"]
    made_of = {"plm_differs": {"model_type": "t5"}, "precision": "fp16", "blocks": 2}
    whole = make_cache(**made_of, dtype="float32").cache
    make_cache(**made_of, dtype="float16")
    assert deepest_start(workspace, small_dataset, t5, texts, 40, "fp16", "float32", 3) == whole
