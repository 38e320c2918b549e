import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from plmrs.config import RawOptions
from plmrs.data.sources import numbering, raw, table
from plmrs.data.sources.raw import raw_file
from plmrs.data.sources.source import Source
from plmrs.errors import UserError

ITEMS = 'item_id,text\n0108775015,Strap top\nNA,Café — crème\n7,"Say ""hi"", twice"\n'
TAKEN = "user_id,item_id,timestamp\nu1,0108775015,30\nu1,NA,10\n007,7,20\n"


def read(folder: Path, items: str | bytes = ITEMS, taken: str | bytes = TAKEN, kind: str = ".csv", **options) -> Source:
    paths = []
    for name, content in (("items", items), ("interactions", taken)):
        path = folder / (name + kind)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        paths.append(path)
    return read_files(*paths, **options)


def read_files(items: Path, taken: Path, **options) -> Source:
    return table.read(raw_file(items), raw_file(taken), RawOptions(**options))


def log_of(source: Source) -> dict[str, list[Any]]:
    """The interactions as they stand in the file."""
    log = source.interactions
    found = {
        "user_id": log.user_ids.take(pa.array(log.users)).to_pylist(),
        "item_id": log.item_ids.take(pa.array(log.items)).to_pylist(),
    }
    return found if log.times is None else {**found, "time": log.times.tolist()}


def test_ids_are_text_as_they_stand(tmp_path: Path):
    source = read(tmp_path)
    assert source.items.to_pydict() == {
        "item_id": ["0108775015", "NA", "7"],
        "text": ["Strap top", "Café — crème", 'Say "hi", twice'],
    }
    assert log_of(source) == {
        "user_id": ["u1", "u1", "007"],
        "item_id": ["0108775015", "NA", "7"],
        "time": [30, 10, 20],
    }


def bytes_of(text: str, how: str) -> bytes:
    if how == "crlf":
        return text.replace("\n", "\r\n").encode()
    return b"\xef\xbb\xbf" + text.encode() if how == "bom" else gzip.compress(text.encode())


@pytest.mark.parametrize(("how", "kind"), [("crlf", ".csv"), ("bom", ".csv"), ("gzip", ".csv.gz")])
def test_line_ends_byte_order_marks_and_gzip(tmp_path: Path, how: str, kind: str):
    (tmp_path / "plain").mkdir()
    plain = read(tmp_path / "plain")
    other = read(tmp_path, bytes_of(ITEMS, how), bytes_of(TAKEN, how), kind)
    assert other.items.equals(plain.items)
    assert log_of(other) == log_of(plain)


def test_tab_separated_files_have_no_quoting(tmp_path: Path):
    source = read(tmp_path, 'itemid\ttitle\n1\t"Quoted\n2\ta "b" c\n', "userid\titemid\nu\t1\n", ".tsv")
    assert source.items.column("text").to_pylist() == ['"Quoted', 'a "b" c']


@pytest.mark.parametrize("kind", [".parquet", ".feather", ".parquet.gz"])
def test_binary_tables(tmp_path: Path, kind: str):
    tables = {
        "items": pa.table(
            {"item_id": pa.array([5, 6, None]), "text": ["five", None, "lost"], "category": ["a", "b", "c"]}
        ),
        "interactions": pa.table(
            {
                "user_id": pa.array(["x", "y", None]).dictionary_encode(),
                "item_id": pa.array([5.0, 6.0, None]),
                "time": pa.array(pd.to_datetime(["2020-01-01", "2020-01-02T00:00:01", "2020-01-01"], format="ISO8601")),
            }
        ),
    }
    for name, content in tables.items():
        path = tmp_path / (name + kind.removesuffix(".gz"))
        parquet.write_table(content, path) if "parquet" in kind else feather.write_feather(content, str(path))
        if kind.endswith(".gz"):
            (tmp_path / (name + kind)).write_bytes(gzip.compress(path.read_bytes()))
    source = read_files(tmp_path / f"items{kind}", tmp_path / f"interactions{kind}")
    assert source.items.to_pydict() == {"item_id": ["5", "6"], "text": ["five", ""], "category": ["a", "b"]}
    assert log_of(source) == {
        "user_id": ["x", "y"],
        "item_id": ["5", "6"],
        "time": [1577836800, 1577923201],
    }
    assert [tally.count for tally in source.dropped] == [1, 0, 1]


@pytest.mark.parametrize(
    ("times", "seconds", "unit"),
    [
        (["2020-01-02", "2020-01-01"], [1577923200, 1577836800], "seconds since 1970-01-01 UTC"),
        (["2020-01-01 00:00:01.75", "2019-12-31"], [1577836801.75, 1577750400], "seconds since 1970-01-01 UTC"),
        (["1577836800123", "1577836800000"], [1577836800.123, 1577836800], "seconds since 1970-01-01 UTC"),
        (["1577836800123", "-5"], [1577836800123, -5], "time, as in the file"),
        (["7.5", "1e3"], [7.5, 1000], "time, as in the file"),
    ],
)
def test_times_are_numbers_or_iso_dates(tmp_path: Path, times: list[str], seconds: list[float], unit: str):
    source = read(tmp_path, taken=f"user_id,item_id,time\nu,7,{times[0]}\nu,NA,{times[1]}\n")
    assert log_of(source)["time"] == seconds
    assert source.time_unit == unit


def test_without_a_time_column_the_row_order_counts(tmp_path: Path):
    source = read(tmp_path, taken="user_id,item_id\nu,7\nu,NA\n")
    assert log_of(source) == {"user_id": ["u", "u"], "item_id": ["7", "NA"]}
    assert source.time_unit == "row in the file"


def test_columns_can_be_named(tmp_path: Path):
    items = "sku,title,blurb,kind\n1,Title ,  A   blurb,x\n"
    taken = "who,sku,when\nu,1,3\n"
    source = read(
        tmp_path, items, taken, item_column="sku", text_fields=("title", "blurb"), category_column="kind",
        user_column="who", time_column="when",
    )  # fmt: skip
    assert source.items.to_pydict() == {"item_id": ["1"], "text": ["Title A blurb"], "category": ["x"]}
    assert log_of(source) == {"user_id": ["u"], "item_id": ["1"], "time": [3]}


def test_of_repeated_items_the_first_text_is_kept_and_ids_may_lack(tmp_path: Path):
    source = read(tmp_path, "item_id,text\nb,first\na,other\nb,second\n,none\n", "user_id,item_id\nu,a\n,a\nu,\n")
    assert source.items.to_pydict() == {"item_id": ["b", "a"], "text": ["first", "other"]}
    assert log_of(source) == {"user_id": ["u"], "item_id": ["a"]}
    assert [tally.count for tally in source.dropped] == [1, 1, 2]
    assert [tally.count for tally in source.read] == [4, 3]


@pytest.mark.parametrize(
    ("content", "options", "said", "remedy"),
    [
        ({"items": ""}, {}, "items.csv is empty", ""),
        ({"items": "item_id,text\n"}, {}, "holds no rows", ""),
        ({"taken": "user_id,item_id\n"}, {}, "interactions.csv holds no rows", ""),
        ({"items": "sku,text\n1,a\n"}, {}, "no column item_id or item or movie_id", "--item-column"),
        ({}, {"text_fields": ("txet",)}, "no column txet for texts; it has item_id, text", "Did you mean text?"),
        ({}, {"user_column": "usrid"}, "no column usrid", "Did you mean user_id? Name the column with --user"),
        ({}, {"time_column": "when"}, "no column when for times", "--time-column"),
        ({}, {"category_column": "kind"}, "no column kind for categories", "--category-column"),
        ({"items": b"item_id,text\n1,a\n2,caf\xe9\n"}, {}, "not UTF-8: In CSV column #1: Row #3", "iconv"),
        ({"items": "item_id,text\n1,a\n".encode("utf-16")}, {}, "items.csv", ""),
        ({"items": "item_id,text\n1,a\n2,b,c\n"}, {}, "Row #3: Expected 2 columns, got 3", ""),
        ({"items": 'item_id,text\n1,"a\n2,b\n'}, {}, "a quote that is never closed, in row 2 or before", ""),
        ({"items": "item_id,text,text\n1,a,b\n"}, {}, "2 columns text", "Rename"),
        ({"taken": "user_id,item_id,time\nu,7,3\nu,7,\n"}, {}, "no time in row 3 of column time", "number or an ISO"),
        ({"taken": "user_id,item_id,time\nu,7,2020-01-01\nu,7,soon\n"}, {}, "soon, in row 3", "ISO"),
    ],
)  # fmt: skip
def test_errors_name_file_row_and_remedy(tmp_path: Path, content: dict, options: dict, said: str, remedy: str):
    with pytest.raises(UserError) as caught:
        read(tmp_path, **content, **options)
    assert said in caught.value.message
    assert remedy in caught.value.remedy
    assert "\n" not in caught.value.message


def test_damaged_tables_are_named(tmp_path: Path):
    (tmp_path / "items.csv").write_text(ITEMS)
    for name in ("broken.parquet", "broken.feather", "broken.csv.gz", "broken.csv.zst"):
        (tmp_path / name).write_text(ITEMS)
        with pytest.raises(UserError, match=f"{name} cannot be read"):
            read_files(tmp_path / name, tmp_path / "items.csv")
        with pytest.raises(UserError, match=f"{name} cannot be read"):
            read_files(tmp_path / "items.csv", tmp_path / name)


def test_fractions_are_no_ids(tmp_path: Path):
    parquet.write_table(pa.table({"item_id": [1.5], "text": ["a"]}), tmp_path / "items.parquet")
    (tmp_path / "interactions.csv").write_text(TAKEN)
    with pytest.raises(UserError, match=r"Column item_id of .*holds fractions"):
        read_files(tmp_path / "items.parquet", tmp_path / "interactions.csv")


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([5, 16777217, None], pa.int64()),
        pa.array([5, 16777217, None], pa.uint32()),
        pa.array([5.0, 16777217.0, None], pa.float64()),
        pa.array(["5", "16777217", None]),
        pa.array(["5", "16777217", ""]),
        pa.array(["5", "16777217", None], pa.large_string()),
        pa.array(["5", "16777217", None]).dictionary_encode(),
        pa.array(["5", "16777217", None]).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string())),
        pa.array([5, 16777217, None]).dictionary_encode().cast(pa.dictionary(pa.int16(), pa.int64())),
        pa.array([b"5", b"16777217", None]),
    ],
    ids=lambda ids: f"{ids.type}",
)  # fmt: skip
def test_ids_of_every_type(tmp_path: Path, ids: pa.Array):
    feather.write_feather(pa.table({"item_id": ids, "title": ["a", "b", "c"]}), str(tmp_path / "items.feather"))
    feather.write_feather(
        pa.table({"user_id": ids, "item_id": ids.take(pa.array([1, 0, 2]))}),
        str(tmp_path / "taken.feather"),
        chunksize=2,
    )
    source = read_files(tmp_path / "items.feather", tmp_path / "taken.feather")
    assert source.items.to_pydict() == {"item_id": ["5", "16777217"], "text": ["a", "b"]}
    assert log_of(source) == {"user_id": ["5", "16777217"], "item_id": ["16777217", "5"]}
    assert [tally.count for tally in source.dropped] == [1, 0, 1]


def test_users_are_named_in_the_order_of_their_rows(tmp_path: Path):
    taken = pd.DataFrame({"user_id": pd.Categorical(["z", "a", "z", "b"]), "item_id": pd.Categorical([7, 3, 3, 5])})
    taken.to_parquet(tmp_path / "taken.parquet")
    taken.astype(str).to_csv(tmp_path / "taken.csv", index=False)
    (tmp_path / "items.csv").write_text(ITEMS)
    for name in ("taken.parquet", "taken.csv"):
        log = read_files(tmp_path / "items.csv", tmp_path / name).interactions
        assert (log.user_ids.to_pylist(), log.item_ids.to_pylist()) == (["z", "a", "b"], ["7", "3", "5"])


@pytest.mark.parametrize("column", ["item_id", "title", "category"])
def test_what_can_be_no_text_is_refused(tmp_path: Path, column: str):
    values = {"item_id": ["1"], "title": ["a"], "category": ["x"], column: pa.array([{"x": 1}])}
    parquet.write_table(pa.table(values), tmp_path / "items.parquet")
    (tmp_path / "taken.csv").write_text(TAKEN)
    with pytest.raises(UserError, match=f"Column {column} of .*items.parquet holds struct<x: int64>, not text"):
        read_files(tmp_path / "items.parquet", tmp_path / "taken.csv")


def test_lists_of_texts_are_joined(tmp_path: Path):
    values = {"item_id": ["1", "2", "3", "4"], "text": [["a", " b"], [], None, ["c", None, "d"]]}
    parquet.write_table(pa.table(values), tmp_path / "items.parquet")
    (tmp_path / "taken.csv").write_text(TAKEN)
    source = read_files(tmp_path / "items.parquet", tmp_path / "taken.csv")
    assert source.items.column("text").to_pylist() == ["a b", "", "", "c d"]


def test_a_template_with_nothing_in_it_is_no_text(tmp_path: Path):
    items = "item_id,title,abstract\n1,Dune,Sand\n2, ,\n3,,Alone\n"
    source = read(tmp_path, items, text_template="{title}. {abstract}!")
    assert source.items.column("text").to_pylist() == ["Dune. Sand!", "", ". Alone!"]
    assert source.options["columns"]["between_texts"] == ["", ". ", "!"]


def test_a_folder_of_parquet_files(tmp_path: Path):
    (tmp_path / "items.csv").write_text("item_id,title\n0108775015,a\n7,b\n")
    for item, rows in (("0108775015", [3, 1]), ("7", [2]), ("__HIVE_DEFAULT_PARTITION__", [9])):
        folder = tmp_path / "taken" / f"item_id={item}"
        folder.mkdir(parents=True)
        parquet.write_table(pa.table({"user_id": ["u"] * len(rows), "time": rows}), folder / "data_0.parquet")
    source = read_files(tmp_path / "items.csv", tmp_path / "taken")
    assert log_of(source) == {"user_id": ["u"] * 3, "item_id": ["7"] + ["0108775015"] * 2, "time": [2, 3, 1]}
    assert source.dropped[-1].count == 1
    assert len(source.files) == 4


def test_many_blocks_are_read_as_pandas_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(raw, "BLOCK", 500)
    monkeypatch.setattr(numbering, "LEAST_BYTES", 200)
    rng = np.random.default_rng(0)
    taken = pd.DataFrame(
        {
            "user_id": [f"{user:03d}" if user else "" for user in rng.integers(0, 200, 2000)],
            "item_id": [f"a,{item}\n" if item else "" for item in rng.integers(0, 40, 2000)],
            "timestamp": rng.integers(0, 1000, 2000) / 8,
        }
    )
    source = read(tmp_path, taken=taken.to_csv(index=False))
    kept = taken[(taken["user_id"] != "") & (taken["item_id"] != "")]
    assert log_of(source) == kept.rename(columns={"timestamp": "time"}).to_dict("list")
    assert source.interactions.user_ids.to_pylist()[:1] != [""]
    assert source.dropped[-1].count == len(taken) - len(kept) > 0
    assert source.read[-1].count == 2000


def test_one_file_may_be_both_tables(tmp_path: Path):
    both = tmp_path / "log.csv"
    both.write_text("user_id,item_id,title\nu,1,a\nv,1,b\nu,2,c\n")
    source = read_files(both, both)
    assert source.items.to_pydict() == {"item_id": ["1", "2"], "text": ["a", "c"]}
    assert log_of(source) == {"user_id": ["u", "v", "u"], "item_id": ["1", "1", "2"]}
    assert len(source.files) == 1
