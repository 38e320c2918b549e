from pathlib import Path

import pyarrow as pa
import pytest

from plmrs.data.ids import near_ids, read_ids, rows_of
from plmrs.errors import UserError

KNOWN = pa.chunked_array([["0108", "a, b"], [], [" x ", "Café", "7"]], pa.string())


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_ids_in_a_file_are_text_as_it_stands(tmp_path: Path, end: str):
    ids = ["0108", "a, b", " x ", "\tCafé\u2028", "0108", '"7"']
    (tmp_path / "ids.txt").write_bytes(("\ufeff" + end.join([*ids, ""])).encode())
    assert read_ids(tmp_path / "ids.txt") == ids


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no id"),
        (b"\r\n\n", "holds no id"),
        (b"caf\xe9\n", "is no UTF-8 text"),
        (None, "cannot be read: No such"),
    ],
)
def test_what_holds_no_ids_is_one_line(tmp_path: Path, content: bytes | None, said: str):
    if content is not None:
        (tmp_path / "ids.txt").write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        read_ids(tmp_path / "ids.txt")
    assert caught.value.remedy == "Give a text file with an id a line."


def test_rows_of_ids():
    assert rows_of([" x ", "0108", " x ", "7"], KNOWN, "item", "--history").tolist() == [2, 0, 2, 4]
    assert rows_of([], KNOWN, "item", "--history").tolist() == []


def test_ids_that_are_not_there_are_counted_and_a_near_one_named():
    with pytest.raises(UserError) as caught:
        rows_of(["7", "108", "b", "c"], KNOWN, "item", "--history")
    assert caught.value.message == "--history: there is no item '108', and 2 more ids are not there either."
    assert caught.value.remedy == "Did you mean 0108?"
    with pytest.raises(UserError, match="ids are text"):
        rows_of([7], KNOWN, "item", "--history")  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("word", "near"),
    [("108", ["0108"]), ("x", [" x "]), ("CAFÉ", ["Café"]), ("Caffé", ["Café"]), ("zzz", []), ("", [])],
)
def test_a_slip_is_near_its_id(word: str, near: list[str]):
    assert near_ids(word, KNOWN) == near
