import numpy as np
import pyarrow as pa
import pytest

from plmrs.data.sources.mind_ids import NotPlainError, PlainIds, TextIds, id_numbers


def strings(texts: list[str]) -> pa.StringArray:
    # A slice, so that offsets do not begin at 0.
    return pa.array(["N8 N9", *texts, "N7"], pa.string()).slice(1, len(texts))


@pytest.mark.parametrize(
    ("texts", "counts", "numbers"),
    [
        (["N5 N17", "", "N2"], [2, 0, 1], [5, 17, 2]),
        (["", "N0"], [0, 1], [0]),
        (["N1234567", "N1 N22 N333"], [1, 3], [1234567, 1, 22, 333]),
        (["", ""], [0, 0], []),
        ([], [], []),
    ],
)
def test_plain_ids_are_read_as_numbers(texts: list[str], counts: list[int], numbers: list[int]):
    read = id_numbers(strings(texts), "N")
    assert read is not None
    assert (read[0].tolist(), read[1].tolist()) == (counts, numbers)


@pytest.mark.parametrize(
    "texts",
    [
        ["N05"], ["N12345678"], ["X1"], ["1"], ["N"], ["N1  N2"], ["N1 "], [" N1"], ["N1N2"], ["N1 ", "N2N3"],
        ["N1", "2"], ["N1", " "], ["N1-1"], ["N1\u00a0N2"], ["N1", "", "x"], ["n1"], ["NN1"], ["N1 N"],
    ],
)  # fmt: skip
def test_anything_else_is_refused(texts: list[str]):
    assert id_numbers(strings(texts), "N") is None
    with pytest.raises(NotPlainError):
        PlainIds("N").add(strings(texts))


def test_both_kinds_number_alike():
    rng = np.random.default_rng(5)
    plain, text = PlainIds("N"), TextIds(lists=True)
    keys: dict[object, list[int]] = {plain: [], text: []}
    for _ in range(5):
        batch = strings([" ".join(f"N{item}" for item in rng.integers(300, size=rng.integers(6))) for _ in range(40)])
        assert plain.add(batch).tolist() == text.add(batch).tolist()
        for ids in (plain, text):
            keys[ids] += ids.flush().tolist()
    codes, ids = plain.finish()
    other_codes, other_ids = text.finish()
    assert codes.tolist() == other_codes.tolist()
    assert ids.to_pylist() == other_ids.to_pylist()
    for of, found in ((plain, codes), (text, other_codes)):
        assert of.codes_of(np.array(keys[of], np.int32)).tolist() == found.tolist()
