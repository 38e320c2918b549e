import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from plmrs.data.sources import numbering
from plmrs.data.sources.numbering import Numbering, encoded, first_rows


def random_words(rng: np.random.Generator, n: int) -> list[str]:
    """Words that often repeat, some of them empty, of several alphabets, or alike but for leading zeros."""
    known = ["", "0", "00", "é", "数字", "a b", *(f"{'0' * (i % 3)}{i}" for i in range(200))]
    return [known[i] for i in (rng.pareto(0.7, n).astype(int) % len(known))]


@pytest.mark.parametrize("least_bytes", [0, 300, numbering.LEAST_BYTES])
@pytest.mark.parametrize("kind", ["text", "dictionary", "own dictionary"])
def test_many_batches_are_numbered_as_pandas_numbers_them(
    monkeypatch: pytest.MonkeyPatch, least_bytes: int, kind: str
) -> None:
    monkeypatch.setattr(numbering, "LEAST_BYTES", least_bytes)
    rng = np.random.default_rng(0)
    batches = [random_words(rng, int(n)) for n in rng.integers(0, 60, 80)]
    numbers = Numbering()
    for words in batches:
        column = pa.array(words, pa.string())
        if kind == "dictionary":
            column = column.dictionary_encode()
        elif kind == "own dictionary":  # unused values, and one that repeats
            values = ["unused", *words, "unused"]
            column = pa.DictionaryArray.from_arrays(pa.array(np.arange(len(words), dtype=np.int32) + 1), values)
        numbers.add(*encoded(column))
    codes, values = numbers.finish()

    words = [word for batch in batches for word in batch]
    assert values.take(pa.array(codes)).to_pylist() == words
    assert len(set(values.to_pylist())) == len(values)
    if kind != "own dictionary":
        expected, uniques = pd.factorize(np.array(words, object))
        assert codes.tolist() == expected.tolist()
        assert values.to_pylist() == uniques.tolist()


def test_nothing_is_numbered() -> None:
    codes, values = Numbering().finish()
    assert (codes.tolist(), values.to_pylist(), codes.dtype) == ([], [], np.int32)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["x", None, "y", "x", None]),
        pa.array(["x", None, "y", "x", None]).dictionary_encode(),
        pa.array(["x", None, "y", "x", None]).dictionary_encode("encode"),
        pa.array(["x", None, "y", "x", None]).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string())),
        pa.DictionaryArray.from_arrays(pa.array([0, None, 1, 0, None], pa.uint8()), pa.array(["x", "y"])),
        pa.DictionaryArray.from_arrays(pa.array([0, 2, 1, 0, 2], pa.int64()), pa.array(["x", "y", None])),
        pa.array(["lost", "x", None, "y", "x", None])[1:],
        pa.array(["x", None, "y", "x", None], pa.large_string()),
    ],
    ids=["text", "dictionary", "null in the dictionary", "int8", "uint8", "int64", "slice", "large"],
)
def test_missing_values_have_no_number(column: pa.Array) -> None:
    codes, values = encoded(column)
    assert codes.dtype == np.int32
    assert [None if code < 0 else values[int(code)].as_py() for code in codes] == ["x", None, "y", "x", None]


def test_first_rows() -> None:
    rng = np.random.default_rng(1)
    codes = np.concatenate([rng.permutation(50), rng.integers(0, 50, 300)])[::-1].astype(np.int32)
    assert first_rows(codes, 50).tolist() == [codes.tolist().index(code) for code in range(50)]
    assert first_rows(np.array([1, 0, 1], np.int32), 2).tolist() == [1, 0]
    assert first_rows(np.zeros(0, np.int32), 0).tolist() == []
