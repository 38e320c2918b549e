import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from plmrs.cache import create
from plmrs.cache.create import cache_path, create_cache, new_manifest, remove_partial, unit_rows
from plmrs.cache.integrity import cache_differences, check_cache
from plmrs.cache.store import Cache, find_cache, list_caches, open_cache
from plmrs.data.dataset import Dataset
from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm
from plmrs.workspace import Workspace

N, H = 600, 16
PLM = Plm("someone/tiny", Path("nowhere"), "hub:someone/tiny@1", "mit", "bert", H, 2, 64, ())


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "data", tmp_path / "runs")


def vectors(seed: int = 0) -> dict[str, NDArray[np.float16]]:
    random = np.random.default_rng(seed)
    return {name: random.normal(size=(N, H)).astype(np.float16) for name in ("mean", "last", "cls")}


def new_cache(workspace: Workspace, dataset: Dataset, plm: Plm = PLM, length: int = 30, precision: str = "32") -> Cache:
    manifest = new_manifest(dataset, plm, length, precision)
    return create_cache(cache_path(workspace, plm, manifest), manifest)


def fill(cache: Cache, units: Iterator[int] | range | list[int], values: dict[str, NDArray[np.float16]]) -> None:
    for unit in units:
        rows = cache.rows(unit)
        cache.write_unit(unit, {name: array[rows] for name, array in values.items()}, rows.stop - rows.start, 100)


@pytest.fixture
def full(workspace: Workspace, small_dataset: Dataset) -> Cache:
    cache = new_cache(workspace, small_dataset)
    fill(cache, range(cache.n_units), vectors())
    return cache


def test_what_is_written_is_read(full: Cache, small_dataset: Dataset) -> None:
    assert small_dataset.n_items == N
    cache = open_cache(full.path)
    assert cache == full
    assert (cache.n_items, cache.hidden_size, cache.n_units, cache.n_bytes) == (N, H, 3, N * H * 2 * 3)
    assert cache.is_complete
    assert cache.counts() == {"items": N, "texts": N, "tokens": 300}
    for name, expected in vectors().items():
        found = cache.read(name)
        assert found.dtype == np.float16
        assert np.array_equal(found, expected)


def test_it_is_a_zarr_group_others_can_read(full: Cache) -> None:
    group = zarr.open_group(full.path, mode="r")
    assert sorted(name for name, _ in group.members()) == ["cls", "done", "last", "mean"]
    array = group["mean"]
    assert isinstance(array, zarr.Array)
    assert array.chunks == (256, H)
    assert array.shards is None
    assert [type(codec).__name__ for codec in array.compressors] == ["Crc32cCodec"]
    assert np.isnan(array.fill_value)
    assert np.array_equal(array[:], vectors()["mean"])
    assert group.attrs["plm_licence"] == "mit"
    assert (full.path / "mean" / "c" / "0" / "0").stat().st_size == 256 * H * 2 + 4


def test_units_fill_chunks_of_bounded_size() -> None:
    assert unit_rows(100, 384) == 256
    assert unit_rows(2_000, 384) == 256
    assert unit_rows(10_000, 384) == 1_250
    assert unit_rows(52_771, 768) == 6_597
    assert unit_rows(3_000_000, 768) * 768 * 2 <= 32 * 2**20
    assert unit_rows(3_000_000, 9_216) * 9_216 * 2 > 16 * 2**20
    assert unit_rows(10**6, 10**8) == 1


def test_a_cache_in_the_making_knows_what_is_missing(workspace: Workspace, small_dataset: Dataset) -> None:
    cache = new_cache(workspace, small_dataset)
    assert cache.units_missing() == [0, 1, 2]
    fill(cache, [1], vectors())
    assert cache.units_missing() == [0, 2]
    assert not cache.is_complete
    with pytest.raises(UserError, match="2 of 3 units are missing"):
        cache.read("mean")
    with pytest.raises(UserError, match="2 of 3 units are missing"):
        check_cache(cache, small_dataset)
    assert find_cache(workspace, small_dataset, None, 30) is None
    assert list_caches(workspace) == [cache]


def flip(chunk: Path) -> None:
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 0x10
    chunk.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (flip, "checksum do not match"),
        (lambda chunk: chunk.write_bytes(chunk.read_bytes()[:-7]), "checksum do not match"),
        (lambda chunk: chunk.write_bytes(b""), "checksum do not match"),
        (Path.unlink, "its chunk is missing"),
    ],
)
def test_a_damaged_chunk_is_found_and_named(full: Cache, damage: Any, says: str) -> None:
    damage(full.path / "last" / "c" / "1" / "0")
    with pytest.raises(UserError) as caught:
        full.read("last")
    assert f"Unit 1 of last in the cache {full.path} is damaged" in caught.value.message
    assert says in caught.value.message
    mark = full.path / "done" / "1.json"
    assert str(mark) in caught.value.remedy
    assert np.array_equal(full.read("mean"), vectors()["mean"])
    mark.unlink()  # The remedy, as it says.
    assert full.units_missing() == [1]
    fill(full, [1], vectors())
    assert np.array_equal(full.read("last"), vectors()["last"])


def test_a_done_mark_without_data_is_found(workspace: Workspace, small_dataset: Dataset, full: Cache) -> None:
    shutil.rmtree(full.path / "cls" / "c")
    with pytest.raises(UserError, match="Unit 0 of cls"):
        full.read("cls")
    shutil.rmtree(full.path / "cls")
    with pytest.raises(UserError, match=r"cls in the cache .* is damaged"):
        full.read("cls")


def change(path: Path, **values: Any) -> None:
    file = path / "zarr.json"
    content = json.loads(file.read_text())
    content["attributes"].update(values)
    file.write_text(json.dumps(content))


def test_what_is_no_cache_is_refused(full: Cache, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no cache at"):
        open_cache(tmp_path / "absent")
    with pytest.raises(UserError, match="is no cache of plmrs"):
        open_cache(tmp_path)
    zarr.create_group(store=tmp_path / "other.zarr")
    with pytest.raises(UserError, match="is no cache of plmrs"):
        open_cache(tmp_path / "other.zarr")
    change(full.path, tokenized_len=31)
    with pytest.raises(UserError, match=r"manifest .* is damaged"):
        open_cache(full.path)
    change(full.path, format=99)
    with pytest.raises(UserError, match="has format 99, this plmrs reads 1"):
        open_cache(full.path)
    (full.path / "zarr.json").write_text("{")
    with pytest.raises(UserError, match="is no cache of plmrs"):
        open_cache(full.path)


def test_a_pooling_it_does_not_hold_is_refused(full: Cache) -> None:
    with pytest.raises(UserError, match="holds mean, last, cls, not max"):
        full.read("max")


def test_the_cache_of_another_data_set_is_refused(
    full: Cache, small_dataset: Dataset, make_dataset: Any, workspace: Workspace
) -> None:
    other = make_dataset(workspace, "other", [f"text {i}" for i in range(N)])
    with pytest.raises(UserError, match="it holds the items of data set small, not other") as caught:
        check_cache(full, other)
    assert "plmrs preinfer --dataset other --plm someone/tiny" in caught.value.remedy
    changed = make_dataset(workspace, "small", [f"text {i}" for i in range(N)])
    with pytest.raises(UserError, match="items or texts of data set small have changed since"):
        check_cache(full, changed)
    check_cache(full, small_dataset)
    check_cache(full, Dataset("a copy", small_dataset.folder, small_dataset.manifest), PLM, 30)


def test_all_that_differs_is_named(full: Cache, small_dataset: Dataset) -> None:
    newer = Plm("someone/tiny", Path("nowhere"), "hub:someone/tiny@2", "mit", "bert", H, 2, 64, ())
    assert cache_differences(full, small_dataset, newer, 20) == [
        "the weights or files of someone/tiny have changed since",
        "it was made with --tokenized-len 30, not 20",
    ]
    another = Plm("minilm", Path("nowhere"), "sha256:1", None, "bert", H, 2, 64, ())
    with pytest.raises(UserError, match="it holds states of someone/tiny, not minilm"):
        check_cache(full, small_dataset, another)


def test_the_newest_complete_fitting_cache_is_found(
    full: Cache, workspace: Workspace, small_dataset: Dataset, make_dataset: Any
) -> None:
    def find(name: str | None, length: int = 30, precision: str | None = None) -> Cache | None:
        return find_cache(workspace, small_dataset, name, length, precision)

    assert find(None) == full == find("someone/tiny")
    assert find("someone/other") is None
    assert find(None, 20) is None
    assert find(None, precision="bf16") is None
    newer = new_cache(workspace, small_dataset, precision="bf16")
    assert find(None) == full  # It is not complete yet.
    fill(newer, range(3), vectors(1))
    assert find(None) == newer
    assert find("someone/tiny", precision="32") == full
    assert list_caches(workspace) == [newer, full]
    assert list_caches(workspace, "other") == []
    changed = make_dataset(workspace, "small", [f"text {i}" for i in range(N)])
    assert find_cache(workspace, changed, None, 30) is None
    (full.path / "zarr.json").write_text("{")
    assert list_caches(workspace) == [newer]


def test_a_folders_cache_is_found_by_its_files_wherever_they_lie(
    workspace: Workspace, small_dataset: Dataset, tiny_bert: Path, tmp_path: Path
) -> None:
    from plmrs.plm.checkpoint import find_plm

    plm = find_plm(str(tiny_bert))
    cache = new_cache(workspace, small_dataset, plm)
    random = np.random.default_rng(0).normal(size=(N, 32)).astype(np.float16)
    fill(cache, range(3), dict.fromkeys(("mean", "last", "cls"), random))
    assert find_cache(workspace, small_dataset, str(tiny_bert), 30) == cache
    copy = tmp_path / "moved"
    shutil.copytree(tiny_bert, copy)
    assert find_cache(workspace, small_dataset, str(copy), 30) == cache
    (copy / "config.json").write_text((copy / "config.json").read_text() + "\n")
    assert find_cache(workspace, small_dataset, str(copy), 30) is None


def test_a_disk_that_refuses_leaves_no_mark(
    workspace: Workspace, small_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = new_cache(workspace, small_dataset)
    fill(cache, [0], vectors())

    def full_disk(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("zarr.storage._local._put", full_disk)
        with pytest.raises(UserError, match="No space left on device") as caught:
            fill(cache, [1], vectors())
    assert "finished units are kept" in caught.value.remedy
    assert cache.units_missing() == [1, 2]
    with monkeypatch.context() as patch:
        patch.setattr("zarr.storage._local._put", full_disk)
        with pytest.raises(UserError, match="No space left on device"):
            new_cache(workspace, small_dataset, length=10)
    assert list_caches(workspace) == [cache]
    assert [path.name for path in cache.path.parent.iterdir()] == [cache.path.name]


def test_what_a_killed_process_left_is_removed(full: Cache) -> None:
    half = full.path / "mean" / "c" / "0" / ".0123.partial"
    mark = full.path / "done" / "2.partial-1234.json"
    for file in (half, mark):
        file.write_text("half")
    begun = full.path.with_name(f"{full.path.name}.partial-1234")
    begun.mkdir()
    remove_partial(full.path)
    assert not any(left.exists() for left in (half, mark, begun))
    assert full.is_complete
    assert np.array_equal(full.read("mean"), vectors()["mean"])


def test_a_cache_is_read_without_torch(full: Cache) -> None:
    code = (
        "import sys; from pathlib import Path; from plmrs.cache.store import open_cache;"
        f"open_cache(Path({str(full.path)!r})).read('mean');"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_manifest_tells_what_it_was_made_with(full: Cache, small_dataset: Dataset) -> None:
    told = full.manifest
    assert told["texts_fingerprint"] == small_dataset.texts_fingerprint
    assert (told["plm"], told["plm_identity"], told["plm_licence"]) == ("someone/tiny", "hub:someone/tiny@1", "mit")
    assert (told["boundary"], told["tokenized_len"], told["precision"], told["dtype"]) == ("final", 30, "32", "float16")
    assert full.path.name == f"final-{told['fingerprint']}.zarr"
    assert full.path.parent.name == "someone--tiny"
    assert create.LEAST_ROWS == told["unit_rows"] == 256
