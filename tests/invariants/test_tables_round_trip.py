"""Valid tables of any texts: what was written is what is read, in every format."""

import csv
import io
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from damaged import DEEP, FAST, KINDS
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather, parquet

from plmrs.config import RawOptions
from plmrs.data.sources import table
from plmrs.data.sources.raw import raw_file

ODD = [
    "007", "1e5", "NA", "null", "None", "true", "nan", "-0", " x", "x ", "a,b", 'a"b', "'", "é", "数字", "\ufeff",
    "=1+1", "\x00", "９", "\u2028", "9" * 30,
]  # fmt: skip
TEXTS = st.one_of(st.sampled_from(ODD), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12))
ROWS = st.lists(st.tuples(TEXTS, TEXTS, st.integers(-(2**40), 2**40)), min_size=1, max_size=8)
CASES = st.tuples(st.sampled_from(KINDS), ROWS, ROWS)


def write(path: Path, columns: dict[str, list]) -> None:
    """Write a table by Python's own means, or Arrow's for its own formats."""
    kind, rows = path.suffix, [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if kind == ".parquet":
        parquet.write_table(pa.table(columns), path)
    elif kind == ".feather":
        feather.write_feather(pa.table(columns), str(path))
    elif kind == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    else:
        text = io.StringIO(newline="")
        lines = [list(columns), *(list(row.values()) for row in rows)]
        if kind == ".csv":
            csv.writer(text).writerows(lines)
        else:
            text.write("".join("\t".join(map(str, line)) + "\n" for line in lines))
        path.write_bytes(text.getvalue().encode())


def without_tabs(text: str) -> str:
    return text.translate(dict.fromkeys(map(ord, "\t\r\n"), "_"))


def check(case: tuple) -> None:
    kind, items, taken = case
    if kind in (".tsv", ".inter"):
        items, taken = ([(*map(without_tabs, row[:2]), row[2]) for row in rows] for rows in (items, taken))
    ids, texts, _ = zip(*items, strict=True)
    users, choices, times = zip(*taken, strict=True)
    with tempfile.TemporaryDirectory() as place:
        one, two = Path(place) / f"items{kind}", Path(place) / f"taken{kind}"
        write(one, {"item_id": list(ids), "title": list(texts)})
        write(two, {"user_id": list(users), "item_id": list(choices), "when": list(times)})
        source = table.read(raw_file(one), raw_file(two), RawOptions(time_column="when"))
    expected: dict[str, str] = {}
    for each, text in zip(ids, texts, strict=True):
        expected.setdefault(each, " ".join(text.split()))
    found = source.items.to_pydict()
    assert dict(zip(found["item_id"], found["text"], strict=True)) == expected
    log = source.interactions
    assert [log.user_ids[user].as_py() for user in log.users] == list(users)
    assert [log.item_ids[item].as_py() for item in log.items] == list(choices)
    scale = 1000 if min(times) > 10**11 and max(times) < 4 * 10**12 else 1  # milliseconds are taken for these
    assert [time * scale for time in log.times.tolist()] == pytest.approx(list(times), abs=1e-3 * scale)


test_what_was_written_is_read = FAST(given(CASES)(check))
test_what_was_written_is_read_deep = pytest.mark.slow(pytest.mark.timeout(7200)(DEEP(given(CASES)(check))))
