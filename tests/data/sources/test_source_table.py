import gzip
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from plmrs.config import RawOptions
from plmrs.data.sources import table
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
    return table.read(*paths, RawOptions(**options))


def test_ids_are_text_as_they_stand(tmp_path: Path):
    source = read(tmp_path)
    assert source.items.to_pydict() == {
        "item_id": ["0108775015", "NA", "7"],
        "text": ["Strap top", "Café — crème", 'Say "hi", twice'],
    }
    assert source.interactions.to_pydict() == {
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
    assert other.interactions.to_pydict() == plain.interactions.to_pydict()


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
    source = table.read(tmp_path / f"items{kind}", tmp_path / f"interactions{kind}", RawOptions())
    assert source.items.to_pydict() == {"item_id": ["5", "6"], "text": ["five", ""], "category": ["a", "b"]}
    assert source.interactions.to_pydict() == {
        "user_id": ["x", "y"],
        "item_id": ["5", "6"],
        "time": [1577836800, 1577923201],
    }
    assert [tally.count for tally in source.dropped] == [1, 0, 1]


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        (["2020-01-02", "2020-01-01"], [1577923200, 1577836800]),
        (["2020-01-01T00:00:01Z", "2020-01-01T01:00:00+01:00"], [1577836801, 1577836800]),
        (["2020-01-01 00:00:01.75", "2019-12-31"], [1577836801, 1577750400]),
        (["1e3", "7.5"], [1000, 7]),
        (["1577836800123", "-5"], [1577836800123, -5]),
        (["20200101", "20191231"], [20200101, 20191231]),
    ],
)
def test_times_are_numbers_or_iso_dates(tmp_path: Path, times: list[str], seconds: list[int]):
    source = read(tmp_path, taken=f"user_id,item_id,time\nu,7,{times[0]}\nu,NA,{times[1]}\n")
    assert sorted(source.interactions.column("time").to_pylist()) == sorted(seconds)


def test_fractions_of_seconds_decide_the_order(tmp_path: Path):
    source = read(tmp_path, taken="user_id,item_id,time\nu,7,5.9\nu,NA,5.1\nu,0108775015,5\n")
    assert source.interactions.column("item_id").to_pylist() == ["0108775015", "NA", "7"]
    assert source.interactions.column("time").to_pylist() == [5, 5, 5]


def test_without_a_time_column_the_row_order_counts(tmp_path: Path):
    source = read(tmp_path, taken="user_id,item_id\nu,7\nu,NA\n")
    assert source.interactions.column_names == ["user_id", "item_id"]
    assert source.time_unit == "row in the file"


def test_columns_can_be_named(tmp_path: Path):
    items = "sku,title,blurb,kind\n1,Title ,  A   blurb,x\n"
    taken = "who,sku,when\nu,1,3\n"
    source = read(
        tmp_path, items, taken, item_column="sku", text_columns=("title", "blurb"), category_column="kind",
        user_column="who", time_column="when",
    )  # fmt: skip
    assert source.items.to_pydict() == {"item_id": ["1"], "text": ["Title A blurb"], "category": ["x"]}
    assert source.interactions.to_pydict() == {"user_id": ["u"], "item_id": ["1"], "time": [3]}


def test_of_repeated_items_the_first_text_is_kept_and_ids_may_lack(tmp_path: Path):
    source = read(tmp_path, "item_id,text\nb,first\na,other\nb,second\n,none\n", "user_id,item_id\nu,a\n,a\nu,\n")
    assert source.items.to_pydict() == {"item_id": ["b", "a"], "text": ["first", "other"]}
    assert source.interactions.num_rows == 1
    assert [tally.count for tally in source.dropped] == [1, 1, 2]


@pytest.mark.parametrize(
    ("content", "options", "said", "remedy"),
    [
        ({"items": ""}, {}, "items.csv is empty", ""),
        ({"items": "item_id,text\n"}, {}, "holds no rows", ""),
        ({"taken": "user_id,item_id\n"}, {}, "interactions.csv holds no rows", ""),
        ({"items": "item,text\n1,a\n"}, {}, "no column item_id or itemid for item ids; it has item,", "--item-column"),
        ({}, {"text_columns": ("txet",)}, "no column txet for texts; it has item_id, text", "Did you mean text?"),
        ({}, {"user_column": "userid"}, "no column userid", "Did you mean user_id? Name the column with --user"),
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


def test_other_files_are_refused(tmp_path: Path):
    (tmp_path / "items.csv").write_text(ITEMS)
    (tmp_path / "items.xlsx").write_text("x")
    with pytest.raises(UserError, match=r"no file .*itms\.csv") as caught:
        table.read(tmp_path / "itms.csv", tmp_path / "items.csv", RawOptions())
    assert "items.csv" in caught.value.remedy
    with pytest.raises(UserError, match="the ending of no table"):
        table.read(tmp_path / "items.xlsx", tmp_path / "items.csv", RawOptions())
    for name in ("broken.parquet", "broken.feather", "broken.csv.gz"):
        (tmp_path / name).write_text(ITEMS)
        with pytest.raises(UserError, match="cannot be read"):
            table.read(tmp_path / name, tmp_path / "items.csv", RawOptions())


def test_fractions_are_no_ids(tmp_path: Path):
    parquet.write_table(pa.table({"item_id": [1.5], "text": ["a"]}), tmp_path / "items.parquet")
    (tmp_path / "interactions.csv").write_text(TAKEN)
    with pytest.raises(UserError, match="holds fractions"):
        table.read(tmp_path / "items.parquet", tmp_path / "interactions.csv", RawOptions())
