"""A cache in a store that fsspec knows: read as the local one it is a copy of."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch

from plmrs.cache.dtypes import STORED, as_torch
from plmrs.cache.find import open_cache
from plmrs.cache.integrity import Damage, verify
from plmrs.errors import UserError

ITEMS = np.concatenate([np.random.default_rng(0).integers(1, 601, 100), [600, 1, 1]])
URL = "memory://bucket/states.zarr"


@pytest.fixture
def store() -> Iterator[Any]:
    """The file system of `memory://`, empty."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def upload(store: Any, folder: Path, url: str = URL) -> str:
    for file in folder.rglob("*"):
        if file.is_file():
            store.pipe(f"/{url.partition('://')[2]}/{file.relative_to(folder)}", file.read_bytes())
    return url


@pytest.mark.parametrize("dtype", STORED)
@pytest.mark.parametrize("memory", [0, 10**9])
def test_it_reads_as_the_local_one(store: Any, make_cache: Any, dtype: str, memory: int) -> None:
    local = make_cache(dtype=dtype, keep_tokens=True).cache
    cache = open_cache(upload(store, local.path), memory=memory)
    assert cache.manifest == local.manifest
    assert (cache.url, cache.path.name) == (URL, "states.zarr")
    assert cache.is_complete
    assert cache.counts() == local.counts()
    assert np.array_equal(cache.texts.text_of_item, local.texts.text_of_item)
    assert np.array_equal(cache.gather(ITEMS, "cls"), local.gather(ITEMS, "cls"))
    for found, expected in zip(cache.gather_hidden(ITEMS), local.gather_hidden(ITEMS), strict=True):
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)
    assert np.array_equal(cache.read("mean"), local.read("mean"))
    assert np.array_equal(cache.read_unit_hidden(3), local.read_unit_hidden(3))
    assert verify(cache) == []
    with pytest.raises(UserError, match="is read only"):
        cache.write_unit(0, {}, None)


def test_a_file_url_is_read_as_well(make_cache: Any) -> None:
    local = make_cache(blocks=1).cache
    cache = open_cache(f"file://{local.path}/")
    assert cache.fingerprint == local.fingerprint
    assert np.array_equal(cache.gather_hidden(ITEMS)[0], local.gather_hidden(ITEMS)[0])


def test_a_path_as_text_is_a_local_folder(make_cache: Any) -> None:
    local = make_cache().cache
    assert open_cache(str(local.path)) == local


@pytest.mark.parametrize(("array", "dtype"), [("last", "float16"), ("hidden", "bfloat16")])
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("flip", "its checksum does not fit"),
        ("cut", "its checksum does not fit"),
        ("delete", "its chunk is missing"),
        ("another unit's", "its chunk is not the one that was written"),
    ],
)
def test_damage_is_found_and_named(
    store: Any, make_cache: Any, damage: str, reason: str, dtype: str, array: str
) -> None:
    local = make_cache(dtype=dtype, keep_tokens=True).cache
    upload(store, local.path)
    chunk = f"/bucket/states.zarr/{array}/c/2/0"
    content = store.cat(chunk)
    if damage == "delete":
        store.rm(chunk)
    elif damage == "another unit's":
        store.pipe(chunk, store.cat(chunk.replace("/2/0", "/1/0")))
    else:
        store.pipe(chunk, content[:-9] if damage == "cut" else bytes([content[0] ^ 4]) + content[1:])
    cache = open_cache(URL)
    assert verify(cache) == [Damage(2, array, reason)]
    everything = np.arange(1, 601)
    for memory in (0, 10**9):
        again = open_cache(URL, memory=memory)
        with pytest.raises(UserError, match=f"Unit 2 of {array} in the cache {URL} is damaged: {reason}"):
            again.gather(everything, "last") if array == "last" else again.gather_hidden(everything)
    assert np.array_equal(cache.gather(ITEMS, "mean"), local.gather(ITEMS, "mean"))


def test_missing_units_and_marks(store: Any, make_cache: Any) -> None:
    made = make_cache(units=[0, 2])
    upload(store, made.cache.path)
    cache = open_cache(URL)
    assert cache.units_missing() == [1, 3]
    with pytest.raises(UserError, match="2 of 4 units are missing"):
        cache.gather(ITEMS, "mean")
    store.rm("/bucket/states.zarr/done", recursive=True)
    assert open_cache(URL).units_missing() == [0, 1, 2, 3]


def test_an_array_of_another_shape_is_refused(store: Any, make_cache: Any) -> None:
    local = make_cache().cache
    upload(store, local.path)
    other = make_cache(dtype="float32").cache
    store.put(str(other.path / "mean" / "zarr.json"), "/bucket/states.zarr/mean/zarr.json")
    with pytest.raises(UserError, match=f"{URL}/mean does not fit the cache: float32 in chunks"):
        open_cache(URL).read("mean")
    store.rm("/bucket/states.zarr/last", recursive=True)
    with pytest.raises(UserError, match=f"Cannot read {URL}/last"):
        open_cache(URL).read("last")


def test_what_cannot_be_opened(store: Any) -> None:
    with pytest.raises(UserError, match="memory://bucket/nothing is no cache of plmrs"):
        open_cache("memory://bucket/nothing")
    with pytest.raises(UserError, match="Cannot read nonsense://bucket: Protocol not known"):
        open_cache("nonsense://bucket")


def test_hidden_states_become_a_tensor(store: Any, make_cache: Any) -> None:
    made = make_cache(blocks=2, dtype="bfloat16")
    states, _ = open_cache(upload(store, made.cache.path)).gather_hidden(np.array([7]))
    expected = made.hidden[made.cache.texts.text_of_item[6]]
    assert torch.equal(as_torch(states), torch.from_numpy(expected).bfloat16())
