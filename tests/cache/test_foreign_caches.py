"""Caches from elsewhere, whose checksums are those of whoever wrote them: refused before memory is trusted to them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plmrs.cache.files import checksum
from plmrs.cache.find import open_cache
from plmrs.cache.manifest import signed
from plmrs.cache.store import Cache
from plmrs.cache.texts import Texts
from plmrs.errors import UserError


def rewritten(cache: Cache, **values: Any) -> Path:
    """The cache with other values in its manifest, signed as plmrs would; its folder has a name of one's own."""
    file = cache.path / "zarr.json"
    content = json.loads(file.read_text())
    unsigned = {key: value for key, value in content["attributes"].items() if key not in {"fingerprint", "checksum"}}
    content["attributes"] = signed({**unsigned, **values})
    file.write_text(json.dumps(content))
    return cache.path.rename(cache.path.with_name("mine.zarr"))


@pytest.mark.parametrize("values", [
    {"hidden_size": 0}, {"hidden_size": -16}, {"hidden_size": 1e30}, {"hidden_size": "16"}, {"hidden_size": 10**30},
    {"hidden_size": None}, {"hidden_size": True}, {"n_units": 10**12}, {"n_units": 10**9}, {"n_items": 2**31},
    {"n_texts": 0}, {"unit_texts": [4]}, {"unit_tokens": -1}, {"dtype": "object"}, {"dtype": "|O"}, {"dtype": ["f"]},
    {"dtype": {}}, {"poolings": "mean"}, {"poolings": ["../../x"]}, {"poolings": [["mean"]]}, {"poolings": None},
    {"blocks": "x"}, {"dataset": 5}, {"plm": None}, {"boundary": {}}, {"format": "2"}, {"format": None},
], ids=str)  # fmt: skip
def test_sizes_that_are_none(make_cache: Any, values: dict[str, Any]) -> None:
    with pytest.raises(UserError) as error:
        open_cache(rewritten(make_cache().cache, **values))
    assert "\n" not in error.value.message
    assert "mine.zarr" in error.value.message


@pytest.mark.parametrize("values", [{"n_units": 1}, {"unit_texts": 1}, {"unit_tokens": 7}, {"hidden_size": 8}], ids=str)
def test_units_that_are_not_those_of_the_texts(make_cache: Any, values: dict[str, Any]) -> None:
    cache = open_cache(rewritten(make_cache().cache, **values))
    with pytest.raises(UserError, match=r"mine\.zarr") as error:
        cache.gather(np.arange(1, 601), "mean")
    assert "\n" not in error.value.message


@pytest.mark.parametrize(
    "how",
    [
        "texts that are not there",
        "one text too many",
        "negative texts",
        "no tokens",
        "negative tokens",
        "longer",
        "the longest last",
    ],
)
def test_texts_that_lead_out_of_the_chunks(make_cache: Any, how: str) -> None:
    cache = make_cache().cache
    length, text_of_item = cache.texts.length.copy(), cache.texts.text_of_item.copy()
    if how == "texts that are not there":
        text_of_item[3] = 1 << 30
    elif how == "one text too many":
        text_of_item[3] = len(length)
    elif how == "the longest last":
        length[[0, -1]] = length[[-1, 0]]
    elif how == "negative texts":
        text_of_item[3] = -5
    elif how == "longer":
        length[:5] = 1 << 24
    else:
        length[-5:] = -7 if how == "negative tokens" else 0
    for name, values in (("length", length), ("text_of_item", text_of_item)):
        chunk = values.tobytes() + checksum(values).to_bytes(4, "little")
        (cache.path / name / "c" / "0").write_bytes(chunk)
    opened = open_cache(rewritten(cache, text_table=Texts(length, text_of_item).fingerprint))
    with pytest.raises(UserError, match="damaged"):
        opened.gather(np.arange(1, 601), "mean")


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"attributes": ' + "[" * 100_000, "null", '{"attributes": []}', "\x00"]
)
def test_manifests_that_are_none(make_cache: Any, text: str) -> None:
    cache = make_cache().cache
    (cache.path / "zarr.json").write_text(text)
    with pytest.raises(UserError, match="is no cache of plmrs, or a damaged one"):
        open_cache(cache.path)


@pytest.mark.parametrize(
    "codecs",
    [
        [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "zstd", "configuration": {"level": 1}}],
        [{"name": "bytes", "configuration": {"endian": "big"}}, {"name": "crc32c"}],
        [{"name": "vlen-utf8"}],
        [{"name": "numcodecs.pickle"}, {"name": "crc32c"}],
        [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "gzip", "configuration": {"level": 1}},
         {"name": "crc32c"}],
    ],
    ids=range(5),
)  # fmt: skip
def test_other_codecs_in_a_store_are_refused(make_cache: Any, codecs: list[dict[str, Any]]) -> None:
    cache = make_cache().cache
    file = cache.path / "mean" / "zarr.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "codecs": codecs}))
    with pytest.raises(UserError):
        open_cache(f"file://{cache.path}").gather(np.arange(1, 10), "mean")


def test_what_is_written_is_read_from_a_store(make_cache: Any) -> None:
    made = make_cache()
    vectors = open_cache(f"file://{made.cache.path}").gather(np.arange(1, 601), "mean")
    assert np.array_equal(vectors, made.cache.gather(np.arange(1, 601), "mean"))
