"""Damaged raw files: the table that stands there, as an independent reader reads it, or one line that says why not."""

import csv
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from damaged import DEEP, FAST, LAYOUTS, damaged, damages, prepared
from hypothesis import given
from hypothesis import strategies as st

from plmrs.data.sources import raw
from plmrs.data.sources.source import Source
from plmrs.errors import UserError

CASES = st.tuples(st.sampled_from(sorted(LAYOUTS)), damages, damages, st.sampled_from(["first", "second", "both"]))
BLOCKS = st.sampled_from([200, 1 << 22, 1 << 22])


def check(case: tuple, block: int) -> None:
    name, of_items, of_taken, which = case
    files, read = LAYOUTS[name]
    (item_file, items), (taken_file, taken) = files.items()
    items = damaged(items, of_items) if which != "second" else items
    taken = damaged(taken, of_taken) if which != "first" else taken
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw, "BLOCK", block)
        folder = Path(place)
        for file, data in ((item_file, items), (taken_file, taken)):
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_bytes(data)
        try:
            source = read(folder)
            whole = prepared(source)
        except UserError as error:
            said = error
        else:
            said = None
    if said is not None:
        assert "\n" not in said.message + said.remedy
        assert said.message.endswith((".", "?")), said.message
        return
    for texts in (whole.item_ids, whole.texts, whole.user_ids):
        texts.validate(full=True)
    ids = whole.item_ids.to_pylist()
    assert len(set(ids)) == len(ids)
    assert "" not in ids + whole.texts.to_pylist() + whole.user_ids.to_pylist()
    assert 1 <= whole.items.min() <= whole.items.max() <= len(ids)
    if name in READERS:
        compare(source, [*READERS[name](items)], [*READERS[name](taken)])


def compare(source: Source, items: list[dict[str, str]], taken: list[dict[str, str]]) -> None:
    """Compare what was read with the rows that another reader finds in the same bytes."""
    if "item_id" not in items[0] or not {"user_id", "item_id"} <= taken[0].keys():
        return  # a damaged header, whose columns are found by other names
    texts: dict[str, str] = {}
    for row in items:
        if row["item_id"]:
            texts.setdefault(row["item_id"], " ".join(row.get("title", "").split()))
    if "title" in items[0]:
        found = source.items.to_pydict()
        assert dict(zip(found["item_id"], found["text"], strict=True)) == texts
    log = source.interactions
    named = [row for row in taken if row["user_id"] and row["item_id"]]
    assert [log.user_ids[user].as_py() for user in log.users] == [row["user_id"] for row in named]
    assert [log.item_ids[item].as_py() for item in log.items] == [row["item_id"] for row in named]
    if log.times is not None and all("timestamp" in row for row in named) and "seconds" not in source.time_unit:
        assert log.times.tolist() == [float(row["timestamp"]) for row in named]


def separated(data: bytes, quoted: bool) -> Iterator[dict[str, str]]:
    text = io.StringIO(data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace"), newline="")
    kind = {"delimiter": ","} if quoted else {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    header, *rows = (row for row in csv.reader(text, **kind) if row)
    # The reader of a table takes no row that is longer or shorter than the header.
    return (dict(zip(header, row, strict=True)) for row in rows)


def json_rows(data: bytes) -> Iterator[dict[str, str]]:
    decoder = json.JSONDecoder()
    for line in data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").replace("\r", "\n").split("\n"):
        rest = line.strip(" \t")
        while rest:
            row, end = decoder.raw_decode(rest)
            rest = rest[end:].strip(" \t")
            names = ("user_id", "item_id", "title", "timestamp")
            yield {name: as_text(row.get(name)) for name in names if name in row or name.endswith("_id")}


def as_text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


READERS = {
    ".csv": lambda data: separated(data, True),
    ".tsv": lambda data: separated(data, False),
    ".inter": lambda data: separated(data, False),
    ".jsonl": json_rows,
}

test_any_damage_is_told_or_harmless = FAST(given(CASES, BLOCKS)(check))
test_any_damage_is_told_or_harmless_deep = pytest.mark.slow(
    pytest.mark.timeout(7200)(DEEP(given(CASES, BLOCKS)(check)))
)


@pytest.mark.parametrize("name", LAYOUTS)
def test_undamaged_files_are_read(name: str, tmp_path: Path) -> None:
    files, read = LAYOUTS[name]
    for file, data in files.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(data)
    whole = prepared(read(tmp_path))
    assert len(whole.items) >= 14
    if name in READERS:
        compare(read(tmp_path), *([*READERS[name](data)] for data in files.values()))
