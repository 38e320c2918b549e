import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from plmrs.cache.dtypes import STORED, as_torch
from plmrs.cache.find import open_cache
from plmrs.cache.texts import Texts
from plmrs.errors import UserError

TORCH = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
WAYS = {"mapped": {}, "in memory": {"memory": 10**9}, "trusted": {"verified": False}}


def items(n: int = 200) -> NDArray[np.int64]:
    """Random ones, some of them twice, the first and the last among them."""
    return np.concatenate([np.random.default_rng(0).integers(1, 601, n), [600, 1, 1]])


@pytest.mark.parametrize("dtype", STORED)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_pooled_rows(make_cache: Any, texts: Texts, dtype: str, way: dict[str, Any]) -> None:
    made = make_cache(dtype=dtype)
    cache = open_cache(made.cache.path, **way)
    wanted = items()
    for name in ("last", "mean"):
        found = cache.gather(wanted, name)
        assert found.dtype == STORED[dtype]
        assert found.flags.writeable
        expected = torch.from_numpy(made.pooled[name][[texts.text_of_item[i - 1] for i in wanted]]).to(TORCH[dtype])
        assert torch.equal(as_torch(found), expected)


@pytest.mark.parametrize("dtype", STORED)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("options", [{"blocks": 3}, {"keep_tokens": True}], ids=["block3", "final"])
def test_hidden_states(make_cache: Any, texts: Texts, dtype: str, way: dict[str, Any], options: dict[str, Any]) -> None:
    made = make_cache(dtype=dtype, **options)
    cache = open_cache(made.cache.path, **way)
    wanted = items()
    states, lengths = cache.gather_hidden(wanted)
    assert states.dtype == STORED[dtype]
    expected = [made.hidden[texts.text_of_item[i - 1]] for i in wanted]
    assert lengths.tolist() == [len(states) for states in expected]
    assert torch.equal(as_torch(states), torch.from_numpy(np.concatenate(expected)).to(TORCH[dtype]))


def test_widths_that_divide_no_page(workspace: Any, small_dataset: Any, plm: Any, texts: Texts, tmp_path: Path) -> None:
    """Rows of 34 bytes begin at any even address."""
    from dataclasses import replace

    from plmrs.cache.create import create_cache, new_manifest

    narrow = replace(plm, hidden_size=17)
    cache = create_cache(tmp_path / "narrow.zarr", new_manifest(small_dataset, narrow, texts, 40, "32", 1), texts)
    states = np.random.default_rng(0).normal(size=(texts.n_tokens, 17)).astype(np.float16)
    ends = cache.layout.tokens
    for unit in range(cache.n_units):
        cache.write_unit(unit, hidden=states[ends[unit] : ends[unit + 1]])
    found, lengths = cache.gather_hidden(np.arange(1, 601))
    starts = np.cumsum(texts.length) - texts.length
    of = texts.text_of_item
    assert lengths.tolist() == texts.length[of].tolist()
    expected = np.concatenate([states[starts[t] : starts[t] + texts.length[t]] for t in of])
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_items_that_are_none_are_refused(make_cache: Any, way: dict[str, Any]) -> None:
    cache = open_cache(make_cache(keep_tokens=True).cache.path, **way)
    for bad in ([0], [-1], [601], [5, 0, 3]):  # 0 is padding, not the last item.
        with pytest.raises(IndexError, match="numbered from 1 to 600"):
            cache.gather(np.array(bad), "mean")
        with pytest.raises(IndexError, match="numbered from 1 to 600"):
            cache.gather_hidden(np.array(bad, np.int32))
    assert cache.gather(np.array([], np.int64), "mean").shape == (0, 16)
    states, lengths = cache.gather_hidden(np.array([], np.int64))
    assert (states.shape, lengths.shape) == ((0, 16), (0,))


def test_only_arrays_that_fit_are_held(make_cache: Any, texts: Texts) -> None:
    path = make_cache(keep_tokens=True).cache.path
    exactly = len(texts) * 16 * 2
    chunks = list(path.glob("mean/c/*/0"))

    def survives(memory: int) -> bool:
        """Whether rows are still given out as they were when their files have been overwritten."""
        cache = open_cache(path, memory=memory)
        before = cache.gather(items(), "mean")
        contents = [chunk.read_bytes() for chunk in chunks]
        for chunk in chunks:
            chunk.write_bytes(bytes(chunk.stat().st_size))
        after = cache.gather(items(), "mean")
        for chunk, content in zip(chunks, contents, strict=True):
            chunk.write_bytes(content)
        return np.array_equal(before, after)

    assert survives(exactly)
    assert not survives(exactly - 1)
    assert not survives(0)


def test_a_trusted_cache_is_not_read_before_it_is_asked(make_cache: Any) -> None:
    made = make_cache()
    chunk = made.cache.path / "mean" / "c" / "3" / "0"
    content = bytearray(chunk.read_bytes())
    content[0] ^= 0x01
    chunk.write_bytes(content)
    expected = made.cache.texts.text_of_item[:3]
    assert open_cache(made.cache.path, verified=False).gather(np.array([1, 2, 3]), "mean").shape == (len(expected), 16)
    chunk.unlink()  # A missing chunk is noticed all the same.
    with pytest.raises(UserError, match=r"Unit 3 of mean .* its chunk is missing"):
        open_cache(made.cache.path, verified=False).gather(np.array([1]), "mean")


def test_it_is_compared_once(make_cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from plmrs.cache import files

    cache = make_cache(keep_tokens=True).cache
    calls = []
    real = files.checksum
    monkeypatch.setattr(files, "checksum", lambda *values: calls.append(1) or real(*values))
    for _ in range(3):
        cache.gather_hidden(items())
    assert len(calls) == 4
    # What another process is sent need not be compared again; arrays that were not opened are.
    sent = pickle.loads(pickle.dumps(cache))
    assert sent == cache
    assert np.array_equal(sent.gather_hidden(items())[0], cache.gather_hidden(items())[0])
    assert len(calls) == 4
    sent.gather(items(), "mean")
    assert len(calls) == 8


def test_a_unit_that_is_written_anew_is_read_anew(make_cache: Any) -> None:
    made = make_cache()
    cache, texts = made.cache, made.cache.texts
    before = cache.gather(items(), "cls")
    made.pooled["cls"] += 1
    made.write(range(4))
    after = cache.gather(items(), "cls")
    assert not np.array_equal(before, after)
    assert np.array_equal(after, made.pooled["cls"][texts.text_of_item[items() - 1]].astype(np.float16))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files as Linux lists them")
def test_no_file_stays_open(make_cache: Any) -> None:
    cache = make_cache(keep_tokens=True).cache
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - Path.iterdir holds it open itself
    cache.gather(items(), "mean")
    cache.gather_hidden(items())
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
