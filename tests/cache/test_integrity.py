"""Every kind of damage is found and named, and no state of a damaged unit is ever given out."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import zarr

from plmrs.cache.dtypes import STORED
from plmrs.cache.find import open_cache
from plmrs.cache.integrity import Damage, cache_differences, check_cache, drop_units, verify
from plmrs.data.dataset import Dataset
from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm
from plmrs.workspace import Workspace

H = 16


def flip(place: int) -> Callable[[Path], None]:
    """Turn one bit of the byte at a place, counted from the end where it is negative."""

    def damage(chunk: Path) -> None:
        content = bytearray(chunk.read_bytes())
        content[place] ^= 0x10
        chunk.write_bytes(content)

    return damage


def cut(chunk: Path) -> None:
    chunk.write_bytes(chunk.read_bytes()[:-7])


def lengthen(chunk: Path) -> None:
    chunk.write_bytes(chunk.read_bytes() + b"\0")


def empty(chunk: Path) -> None:
    chunk.write_bytes(b"")


def remove_folder(chunk: Path) -> None:
    shutil.rmtree(chunk.parents[1])


def copy_another_unit(chunk: Path) -> None:
    shutil.copy(chunk.parents[1] / "1" / "0", chunk)


def forget(chunk: Path) -> None:
    """Give out NaN as zarr does for a chunk that it was told is empty, with a checksum that fits."""
    with zarr.config.set({"array.write_empty_chunks": True}):
        array: Any = zarr.open_array(chunk.parents[2], mode="r+")
        array[2 * array.chunks[0] : 3 * array.chunks[0]] = array.fill_value


def swallow(chunk: Path) -> None:
    chunk.unlink()
    chunk.mkdir()


DAMAGES = {
    "first byte": (flip(0), "its checksum does not fit"),
    "a byte within": (flip(1_000), "its checksum does not fit"),
    "a byte of what fills up": (flip(-5), "its checksum does not fit"),
    "the checksum": (flip(-1), "its checksum does not fit"),
    "cut": (cut, "its chunk has [0-9,]+ bytes, not"),
    "too long": (lengthen, "its chunk has [0-9,]+ bytes, not"),
    "empty": (empty, "its chunk has 0 bytes, not"),
    "deleted": (Path.unlink, "its chunk is missing"),
    "the array's chunks deleted": (remove_folder, "its chunk is missing"),
    "no file": (swallow, "its chunk cannot be read"),
    "another unit's": (copy_another_unit, "its chunk is not the one that was written"),
    "NaN": (forget, "its chunk is not the one that was written"),
}


@pytest.mark.parametrize("array", ["last", "hidden"])
@pytest.mark.parametrize("dtype", STORED)
@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_chunk_is_found_and_named(
    make_cache: Any, damage: Callable[[Path], None], reason: str, dtype: str, array: str
) -> None:
    made = make_cache(dtype=dtype, keep_tokens=True)
    path = made.cache.path
    assert verify(made.cache) == []
    damage(path / array / "c" / "2" / "0")
    cache = open_cache(path)
    everything = [damage.unit for damage in verify(cache)] == [0, 1, 2, 3]
    assert everything == ("chunks deleted" in damage.__name__ or damage is remove_folder)
    found = next(damage for damage in verify(cache) if damage.unit == 2)
    assert (found.unit, found.array) == (2, array)
    says = rf"Unit {0 if everything else 2} of {array} in the cache {path} is damaged: {reason}"
    some = np.array([1, 2, 3])
    with pytest.raises(UserError, match=says) as caught:
        cache.read("last") if array == "last" else cache.gather_hidden(some)
    assert f"plmrs inspect {path.stem} --repair" in caught.value.remedy
    for memory in (0, 10**9):
        again = open_cache(path, memory=memory)
        with pytest.raises(UserError, match=says):
            again.gather(some, "last") if array == "last" else again.gather_hidden(some)
    with pytest.raises(UserError, match=rf"Unit 2 of {array} .* {reason}"):
        cache.read_unit(2, array)
    # What is not damaged is given out, and the unit is made again.
    assert np.array_equal(cache.gather(some, "mean"), made.cache.gather(some, "mean"))
    drop_units(cache, range(4) if everything else [2])
    assert cache.units_missing() == ([0, 1, 2, 3] if everything else [2])
    if damage is swallow:
        (path / array / "c" / "2" / "0").rmdir()
    made.write(cache.units_missing())
    assert verify(cache) == []
    assert np.array_equal(cache.gather(some, "last"), open_cache(path).gather(some, "last"))


def change_mark(path: Path, of: int, **values: Any) -> None:
    file = path / "done" / f"{of}.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize("options", [{}, {"blocks": 1}], ids=["pooled", "hidden"])
@pytest.mark.parametrize("dtype", STORED)
def test_a_done_mark_that_is_not_the_units_is_found(make_cache: Any, options: dict[str, int], dtype: str) -> None:
    made = make_cache(units=[0, 1, 2], dtype=dtype, **options)
    other = make_cache(seed=1, dtype=dtype, length=30, **options)
    cache, path = made.cache, made.cache.path
    array = cache.arrays[-1]

    def damaged(unit: int, reason: str) -> None:
        assert cache.is_complete
        assert verify(cache) == [Damage(unit, name, reason) for name in cache.arrays]
        fresh = open_cache(path)
        with pytest.raises(UserError, match=f"Unit {unit} of {array} .* is damaged: {reason}"):
            fresh.gather_hidden(np.array([1])) if array == "hidden" else fresh.gather(np.array([1]), array)

    # A mark without data.
    shutil.copy(path / "done" / "1.json", path / "done" / "3.json")
    damaged(3, "its done-mark is that of unit 1")
    change_mark(path, 3, unit=3)
    damaged(3, "its chunk is missing")
    # A mark of another unit, and that unit's data with it.
    for name in cache.arrays:
        shutil.copytree(path / name / "c" / "1", path / name / "c" / "3")
    if dtype != "float32":  # Once is enough: units of this one are as large.
        shutil.copy(path / "done" / "1.json", path / "done" / "3.json")
        damaged(3, "its done-mark is that of unit 1")
    made.write([3])
    assert verify(cache) == []
    # Another cache's mark, and then its data with it.
    shutil.copy(other.cache.path / "done" / "2.json", path / "done" / "2.json")
    damaged(2, f"its done-mark is that of another cache, {other.cache.fingerprint}")
    change_mark(path, 2, cache=cache.fingerprint)
    damaged(2, "its chunk is not the one that was written")
    made.write([2])
    for content in ("", "[]", "{}", '{"unit": 0}', "\xff", '{"crc32c": 3, "counts": {}, "unit": 0, "cache": ""}'):
        (path / "done" / "0.json").write_text(content, encoding="latin-1")
        damaged(0, "its done-mark is damaged")
    made.write([0])
    assert verify(cache) == []


@pytest.mark.parametrize("options", [{}, {"blocks": 1}], ids=["pooled", "hidden"])
def test_the_arrays_of_another_plm_in_their_place_are_found(make_cache: Any, options: dict[str, int]) -> None:
    made = make_cache(**options)
    other = make_cache(seed=1, plm_differs={"name": "someone/other", "identity": "hub:someone/other@1"}, **options)
    path, array = made.cache.path, made.cache.arrays[0]
    shutil.rmtree(path / array)
    shutil.copytree(other.cache.path / array, path / array)
    cache = open_cache(path)
    reason = "its chunk is not the one that was written"
    assert verify(cache) == [Damage(unit, array, reason) for unit in range(4)]
    with pytest.raises(UserError, match=f"Unit 0 of {array} .* {reason}"):
        cache.gather_hidden(np.array([1])) if options else cache.read("mean")
    # And with their done-marks.
    shutil.rmtree(path / "done")
    shutil.copytree(other.cache.path / "done", path / "done")
    assert {damage.reason for damage in verify(cache)} == {
        f"its done-mark is that of another cache, {other.cache.fingerprint}"
    }


def test_another_plms_cache_in_its_place_is_found(make_cache: Any, workspace: Workspace) -> None:
    made = make_cache()
    other = make_cache(seed=1, plm_differs={"name": "someone/other", "identity": "hub:someone/other@1"})
    path = made.cache.path
    shutil.rmtree(path)
    other.cache.path.rename(path)
    with pytest.raises(UserError, match=f"{path} holds another cache, {other.cache.path.name} of someone/other"):
        open_cache(path)
    own = path.with_name("mine.zarr")  # A name of one's own claims nothing.
    path.rename(own)
    assert open_cache(own).plm == "someone/other"


def test_nan_in_a_chunk_that_fits_its_mark_is_found(make_cache: Any) -> None:
    cache = make_cache(blocks=0).cache
    chunk = cache.path / "hidden" / "c" / "1" / "0"
    values = np.frombuffer(chunk.read_bytes()[:-4], np.float16).copy()
    values[5] = np.nan
    checksum = google_crc32c.value(values.tobytes())
    chunk.write_bytes(values.tobytes() + checksum.to_bytes(4, "little"))
    change_mark(cache.path, 1, crc32c={"hidden": checksum})
    assert verify(cache) == [Damage(1, "hidden", "it holds NaN or infinity")]
    with pytest.raises(UserError, match="it holds NaN or infinity"):
        cache.gather_hidden(np.array([1]))


def test_all_damage_is_listed_and_what_is_not_done_is_not(make_cache: Any) -> None:
    made = make_cache(units=[0, 1, 3], keep_tokens=True)
    path = made.cache.path
    flip(3)(path / "hidden" / "c" / "3" / "0")
    (path / "mean" / "c" / "0" / "0").unlink()
    (path / "cls" / "c" / "0" / "0").unlink()
    (path / "done" / "9.json").write_text("of no unit")
    (path / "done" / "note.txt").write_text("of no unit")
    seen: list[int] = []
    assert verify(made.cache, seen.append) == [
        Damage(0, "mean", "its chunk is missing"),
        Damage(0, "cls", "its chunk is missing"),
        Damage(3, "hidden", "its checksum does not fit"),
    ]
    assert seen == [1, 1, 1]
    assert made.cache.units_missing() == [2]


@pytest.mark.parametrize("table", ["text_of_item", "length"])
def test_damaged_tables_are_found(make_cache: Any, table: str) -> None:
    made = make_cache()
    path = made.cache.path
    file = path / table / "c" / "0"
    content = np.frombuffer(file.read_bytes()[:-4], np.int32).copy()
    content[[3, 4]] = content[[4, 3]] + [0, 1]
    file.write_bytes(content.tobytes() + google_crc32c.value(content.tobytes()).to_bytes(4, "little"))
    for reason in ("they are not those it was made with", "its chunk has", "its chunk is missing"):
        cache = open_cache(path)
        for read in (
            lambda c=cache: c.read("mean"),
            lambda c=cache: c.gather(np.array([1]), "mean"),
            lambda c=cache: verify(c),
        ):
            with pytest.raises(UserError, match=f"tables of texts in the cache {path} are damaged: {reason}"):
                read()
        file.write_bytes(content[1:].tobytes()) if reason.startswith("they") else file.unlink(missing_ok=True)


def change_manifest(path: Path, **values: Any) -> None:
    file = path / "zarr.json"
    content = json.loads(file.read_text())
    content["attributes"].update(values)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "edit",
    [
        {"tokenized_len": 31},
        {"dtype": "bfloat16"},
        {"plm": "someone/other"},  # By whose name a cache is found.
        {"dataset": "other"},
        {"plm_licence": "none"},
        {"n_units": 3},
        {"source": "0123456789ab"},
        {"fingerprint": "0123456789ab"},
        {"checksum": "0123456789ab"},
        {"of_my_own": 1},
    ],
)
def test_an_edited_manifest_is_refused(make_cache: Any, edit: dict[str, Any]) -> None:
    path = make_cache(units=[]).cache.path
    change_manifest(path, **edit)
    with pytest.raises(UserError, match=f"manifest of the cache {path} is damaged: its fingerprint differs"):
        open_cache(path)


def test_what_is_no_cache_is_refused(make_cache: Any, tmp_path: Path) -> None:
    path = make_cache(units=[]).cache.path
    with pytest.raises(UserError, match="no cache at"):
        open_cache(tmp_path / "absent")
    with pytest.raises(UserError, match="is no cache of plmrs"):
        open_cache(tmp_path)
    zarr.create_group(store=tmp_path / "other.zarr")
    with pytest.raises(UserError, match="is no cache of plmrs"):
        open_cache(tmp_path / "other.zarr")
    whole = (path / "zarr.json").read_text()
    for version in (1, 99):
        change_manifest(path, format=version)
        with pytest.raises(UserError, match=f"has format {version}, this plmrs reads 2") as caught:
            open_cache(path)
        assert "preinfer` again" in caught.value.remedy
    for content in ("{", "", "[]", whole.replace('"n_units"', '"units"')):
        (path / "zarr.json").write_text(content)
        with pytest.raises(UserError, match="is no cache of plmrs"):
            open_cache(path)


def test_the_cache_of_another_data_set_is_refused(
    make_cache: Any, small_dataset: Dataset, make_dataset: Any, workspace: Workspace, plm: Plm
) -> None:
    cache = make_cache().cache
    other = make_dataset(workspace, "other", [f"text {i}" for i in range(600)])
    with pytest.raises(UserError, match="it holds the items of data set small, not other") as caught:
        check_cache(cache, other)
    assert "plmrs preinfer --dataset other --plm someone/tiny" in caught.value.remedy
    changed = make_dataset(workspace, "small", [f"text {i}" for i in range(600)])
    with pytest.raises(UserError, match="items or texts of data set small have changed since"):
        check_cache(cache, changed)
    check_cache(cache, small_dataset)
    check_cache(cache, Dataset("a copy", small_dataset.folder, small_dataset.manifest), plm, 40)
    drop_units(cache, [1])
    with pytest.raises(UserError, match="is not complete: 1 of 4 units are missing"):
        check_cache(cache, small_dataset)
    check_cache(cache, small_dataset, complete=False)


def test_all_that_differs_is_named(make_cache: Any, small_dataset: Dataset, plm: Plm) -> None:
    cache = make_cache(units=[]).cache
    newer = Plm("someone/tiny", plm.folder, "hub:someone/tiny@2", "mit", "bert", H, 4, 64, ())
    assert cache_differences(cache, small_dataset, newer, 20) == [
        "the weights or files of someone/tiny have changed since",
        "it was made with --tokenized-len 40, not 20",
    ]
    another = Plm("minilm", plm.folder, "sha256:1", None, "bert", H, 4, 64, ())
    with pytest.raises(UserError, match="it holds states of someone/tiny, not minilm"):
        check_cache(cache, small_dataset, another)
