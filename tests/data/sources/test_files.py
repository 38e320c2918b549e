"""Raw tables of every format and packing, compared with pandas' reading of the same bytes."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, parquet
from raw_files import SPELLINGS, complaint

from plmrs.data.sources import files, raw
from plmrs.data.sources.files import batches, column_names, read_columns
from plmrs.data.sources.raw import RawFile, raw_file
from plmrs.errors import UserError

PACKINGS = {
    "": lambda data, name: data,
    ".gz": lambda data, name: gzip.compress(data, mtime=0),
    ".zst": lambda data, name: pa.compress(data, "zstd", asbytes=True),
    ".zip": lambda data, name: zipped({f"a folder/{name}": data, "read me.txt": b"x", f"__MACOSX/._{name}": b"x"}),
}
TEXT_KINDS = (".csv", ".tsv", ".inter", ".item")
KINDS = (*TEXT_KINDS, ".jsonl", ".ndjson", ".json", ".parquet", ".pq", ".feather", ".arrow")
FRAME = pd.DataFrame(
    {
        "id": ["0108775015", "NA", "007", "null", "1e5"],
        "text": ["Café — crème", "", "数字 'a'", "true", " padded "],
        "count": ["1", "02", "", "3.50", "nan"],
    }
)
"""What a reader that guesses types would spoil."""


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def bytes_of(frame: pd.DataFrame, kind: str) -> bytes:
    if kind in TEXT_KINDS:
        return frame.to_csv(sep="," if kind == ".csv" else "\t", index=False).encode()
    if kind in raw.JSON:
        return "".join(json.dumps(row) + "\n" for row in frame.to_dict("records")).encode()
    buffer = io.BytesIO()
    if kind in raw.PARQUET:
        frame.to_parquet(buffer)
    else:
        frame.to_feather(buffer)
    return buffer.getvalue()


def write(folder: Path, data: bytes, kind: str, packing: str = "") -> RawFile:
    path = folder / f"table{kind}{packing}"
    path.write_bytes(PACKINGS[packing](data, f"table{kind}"))
    return raw_file(path)


def rows(file: RawFile, names: Sequence[str] | None = None) -> dict[str, list]:
    return read_columns(file, names or column_names(file)).to_pydict()


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def set_block(size: int) -> None:
        monkeypatch.setattr(raw, "BLOCK", size)
        monkeypatch.setattr(files, "ROWS", max(1, size // 20))

    return set_block


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_format_in_every_packing(tmp_path: Path, kind: str, packing: str) -> None:
    file = write(tmp_path, bytes_of(FRAME, kind), kind, packing)
    assert column_names(file) == ["id", "text", "count"]
    assert rows(file) == FRAME.to_dict("list")
    assert rows(file, ["count", "id"]) == FRAME[["count", "id"]].to_dict("list")
    assert file.paths == [tmp_path / f"table{kind}{packing}"]
    assert file.name == f"table{kind}{'' if packing == '.zip' else packing}"


@pytest.mark.parametrize("kind", [".csv.gz", ".jsonl.zst", ".parquet.gz"])
def test_what_is_packed_twice(tmp_path: Path, kind: str) -> None:
    kind, packing = f".{kind.split('.')[1]}", f".{kind.split('.')[2]}"
    inner = PACKINGS[packing](bytes_of(FRAME, kind), "")
    (tmp_path / "packed.zip").write_bytes(zipped({f"table{kind}{packing}": inner}))
    assert rows(raw_file(tmp_path / "packed.zip")) == FRAME.to_dict("list")


def test_endings_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "TABLE.CSV.GZ").write_bytes(gzip.compress(bytes_of(FRAME, ".csv")))
    assert rows(raw_file(tmp_path / "TABLE.CSV.GZ")) == FRAME.to_dict("list")


def test_gzip_files_behind_one_another(tmp_path: Path) -> None:
    whole = bytes_of(FRAME, ".csv")
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress(whole[:50], mtime=0) + gzip.compress(whole[50:]))
    assert rows(raw_file(tmp_path / "table.csv.gz")) == FRAME.to_dict("list")


@pytest.mark.parametrize("kind", [".csv", ".tsv", ".jsonl"])
@pytest.mark.parametrize("how", SPELLINGS)
def test_spellings_of_text_files(tmp_path: Path, kind: str, how: str) -> None:
    file = write(tmp_path, SPELLINGS[how](bytes_of(FRAME, kind)), kind)
    assert column_names(file) == ["id", "text", "count"]
    assert rows(file) == FRAME.to_dict("list")


NASTY_CSV = '''\
id,text,count
1,"a, b",1
2,"say ""hi""",2
3,"two
lines, ""and"" more",3
4,12" vinyl,4
5,x""y,5
6,"",6
"7",'single',7
8,"é
"",
""",8
'''


def test_quotes_in_csv_are_those_of_pandas(tmp_path: Path) -> None:
    assert NASTY_CSV.count('"') % 2 == 1  # and yet no quote is open
    expected = pd.read_csv(io.StringIO(NASTY_CSV), dtype=str, keep_default_na=False)
    assert len(expected) == 8
    assert rows(write(tmp_path, NASTY_CSV.encode(), ".csv")) == expected.to_dict("list")


def test_quotes_in_tab_separated_files_are_characters(tmp_path: Path) -> None:
    text = 'id\ttext\n1\t"open\n2\ta "b" c\n"3"\t,"\n'
    assert rows(write(tmp_path, text.encode(), ".tsv")) == {"id": ["1", "2", '"3"'], "text": ['"open', 'a "b" c', ',"']}


def random_texts(rng: np.random.Generator, n: int, alphabet: str) -> list[str]:
    return ["".join(rng.choice(list(alphabet), rng.integers(0, 12))) for _ in range(n)]


@pytest.mark.parametrize("block", [128, 131, 150, 1000, 1 << 20])
@pytest.mark.parametrize("kind", [".csv", ".tsv", ".jsonl", ".parquet", ".feather"])
def test_many_blocks_are_one_table(tmp_path: Path, small_blocks: Callable[[int], None], kind: str, block: int) -> None:
    rng = np.random.default_rng(block)
    alphabet = "aé数 ,'" if kind == ".tsv" else 'aé数 ,\n"'
    frame = pd.DataFrame(
        {
            "id": [f"{i:06d}" for i in range(700)],
            "text": random_texts(rng, 700, alphabet),
            "who": rng.choice(["u1", "u2", "00", ""], 700),
        }
    )
    data = bytes_of(frame, kind)
    if kind in TEXT_KINDS:
        separator = "," if kind == ".csv" else "\t"
        frame = pd.read_csv(io.BytesIO(data), sep=separator, dtype=str, keep_default_na=False)
    small_blocks(block)
    file = write(tmp_path, data, kind)
    expected = frame.to_dict("list")
    assert rows(file) == expected
    parts = list(batches(file, ["who", "text"], repeating=["who"]))
    assert len(parts) > 5 or block == 1 << 20
    assert [value for part in parts for value in part.column("who").to_pylist()] == expected["who"]
    assert [value for part in parts for value in part.column("text").to_pylist()] == expected["text"]
    assert all(part.schema.names == ["who", "text"] for part in parts)
    if kind in TEXT_KINDS:
        assert pa.types.is_dictionary(parts[0].schema.field("who").type)


def test_a_header_may_be_given_to_a_file_without_one(tmp_path: Path) -> None:
    data = bytes_of(FRAME, ".tsv").partition(b"\n")[2]
    file = write(tmp_path, data, ".tsv")
    file = RawFile(file.path, header=("id", "text", "count"))
    assert column_names(file) == ["id", "text", "count"]
    assert rows(file) == FRAME.to_dict("list")


def test_json_values_stay_as_they_are_written(tmp_path: Path, small_blocks: Callable[[int], None]) -> None:
    first = {"id": "2001-01-01", "title": None, "features": [], "time": 5, "details": {"x": 1}}
    later = {"id": "B00", "title": "1984-05-06 00:00:00", "features": ["a", "b"], "time": 6, "details": {"y": "z"}}
    content = [first] * 5 + [later] * 5
    small_blocks(200)  # of the last rows' values the first block knows nothing
    file = write(tmp_path, "".join(json.dumps(row) + "\n" for row in content).encode(), ".jsonl")
    expected = {name: [row[name] for row in content] for name in ("features", "time", "title", "id")}
    assert rows(file, ["features", "time", "title", "id"]) == expected


def test_json_rows_may_lack_values(tmp_path: Path) -> None:
    file = write(tmp_path, b'{"a": "x", "b": "y"}\n{"c": 7, "b": "z"}\n{"a": null}\n', ".jsonl")
    assert rows(file, ["a", "b"]) == {"a": ["x", None, None], "b": ["y", "z", None]}


# Folders of Parquet files

LOG = pd.DataFrame(
    {
        "user_id": [f"u{i % 7:02d}" for i in range(40)],
        "item_id": [f"{i % 11:03d}" for i in range(40)],
        "time": np.arange(40),
    }
)


def write_parts(folder: Path, names: Sequence[str], frame: pd.DataFrame = LOG) -> None:
    """Write consecutive rows into files of these names."""
    for name, part in zip(names, np.array_split(np.arange(len(frame)), len(names)), strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.iloc[part].to_parquet(path, index=False)


def test_a_folder_as_spark_writes_it(tmp_path: Path) -> None:
    folder = tmp_path / "taken.parquet"
    job = "3f2c9d1e-8a54-4b77-9c01-1f2e3d4c5b6a-c000"
    write_parts(folder, [f"part-{i:05d}-{job}.snappy.parquet" for i in range(12)])
    for name in ("_SUCCESS", "._SUCCESS.crc", f".part-00000-{job}.snappy.parquet.crc", "_committed_1"):
        (folder / name).write_bytes(b"x")
    write_parts(folder / "_temporary" / "0", ["part-00000.parquet"])
    LOG.iloc[:0].to_parquet(folder / f"part-00012-{job}.snappy.parquet", index=False)  # Spark's empty partitions
    file = raw_file(folder)
    assert rows(file) == LOG.to_dict("list")
    assert [path.name[:10] for path in file.paths] == [f"part-{i:05d}" for i in range(13)]


def test_parts_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    write_parts(tmp_path, [f"data_{i}.parquet" for i in range(13)])  # as DuckDB writes them: data_2 before data_10
    assert rows(raw_file(tmp_path)) == LOG.to_dict("list")
    write_parts(tmp_path / "nested", [f"{i}/{j}.pq" for i in (8, 9, 10, 11) for j in (1, 2, 10)])
    assert rows(raw_file(tmp_path / "nested")) == LOG.to_dict("list")


DAYS = ["2024-05-01", "2024-05-02", "2024-05-10"]
HIVE_NAMES = {
    "Spark": "day={}/part-00000-6a1f.c000.snappy.parquet",
    "DuckDB": "day={}/data_0.parquet",
    "Polars": "day={}/00000000.parquet",
}


@pytest.mark.parametrize("tool", HIVE_NAMES)
def test_partitions_stand_in_the_names_of_folders(tmp_path: Path, tool: str) -> None:
    write_parts(tmp_path, [HIVE_NAMES[tool].format(day) for day in DAYS])
    (tmp_path / "_SUCCESS").touch()
    file = raw_file(tmp_path)
    assert column_names(file) == ["user_id", "item_id", "time", "day"]
    days = [day for day, part in zip(DAYS, np.array_split(LOG.index, 3), strict=True) for _ in part]
    assert rows(file, ["day", "user_id"]) == {"day": days, "user_id": LOG["user_id"].tolist()}
    assert rows(file, ["item_id"]) == {"item_id": LOG["item_id"].tolist()}
    assert rows(file, ["day"]) == {"day": days}


def test_partitions_are_those_that_arrow_writes_and_reads(tmp_path: Path) -> None:
    from pyarrow import dataset

    values = ["a b", "100%", "x/y", "007", "é=1", None, "a&b:c"]
    table = pa.table({"item_id": values * 3, "shop": ["s 1"] * 21, "row": list(range(21))})
    schema = pa.schema([("item_id", pa.string()), ("shop", pa.string())])
    hive = dataset.partitioning(schema, flavor="hive")
    dataset.write_dataset(table, tmp_path, format="parquet", partitioning=hive)
    expected = dataset.dataset(tmp_path, format="parquet", partitioning=hive).to_table()
    found = read_columns(raw_file(tmp_path), ["row", "item_id", "shop"]).sort_by("row")
    assert found.to_pydict() == expected.select(["row", "item_id", "shop"]).sort_by("row").to_pydict()
    assert found.sort_by("row").column("item_id").to_pylist() == values * 3


def test_partition_values_as_text(tmp_path: Path) -> None:
    folders = {"item=007": "007", "item=a%20b": "a b", "item=a b": "a b", "item=": "", "item=x%2Fy": "x/y"}
    folders["item=__HIVE_DEFAULT_PARTITION__"] = None
    for number, name in enumerate(folders):
        write_parts(tmp_path / name, ["data_0.parquet"], pd.DataFrame({"row": [number]}))
    found = rows(raw_file(tmp_path))
    assert dict(zip(found["row"], found["item"], strict=True)) == dict(enumerate(folders.values()))


def test_a_partition_column_may_stand_in_the_files_too(tmp_path: Path) -> None:
    for day in DAYS:  # as Polars writes them; the name of the folder decides
        frame = pd.DataFrame({"day": [pd.Timestamp(day)], "item_id": ["1"]})
        write_parts(tmp_path, [f"day={day}/00000000.parquet"], frame)
    file = raw_file(tmp_path)
    assert column_names(file) == ["item_id", "day"]
    assert rows(file, ["day", "item_id"]) == {"day": DAYS, "item_id": ["1"] * 3}


def test_types_may_differ_from_part_to_part(tmp_path: Path) -> None:
    for number, ids in enumerate(([5, 6], ["07"], [8.0, None])):
        pd.DataFrame({"id": ids}).to_parquet(tmp_path / f"{number}.parquet")
    assert rows(raw_file(tmp_path)) == {"id": ["5", "6", "07", "8", None]}


def test_columns_may_stand_in_another_order_from_part_to_part(tmp_path: Path) -> None:
    LOG[["user_id", "item_id", "time"]].to_parquet(tmp_path / "0.parquet")
    LOG[["time", "user_id", "item_id"]].to_parquet(tmp_path / "1.parquet")
    assert rows(raw_file(tmp_path), ["item_id", "user_id"]) == {
        "item_id": LOG["item_id"].tolist() * 2,
        "user_id": LOG["user_id"].tolist() * 2,
    }


def test_a_column_may_lack_in_no_part(tmp_path: Path) -> None:
    LOG.to_parquet(tmp_path / "0.parquet")
    LOG[["user_id"]].to_parquet(tmp_path / "1.parquet")
    with pytest.raises(UserError, match=r"1\.parquet has no column item_id, which others in"):
        rows(raw_file(tmp_path))
    assert rows(raw_file(tmp_path), ["user_id"]) == {"user_id": LOG["user_id"].tolist() * 2}


# What cannot be read

LONG = pd.DataFrame({"id": [f"{i * 7919 % 100_003}" for i in range(5000)], "text": random_texts(
    np.random.default_rng(0), 5000, "abcdefgh"
)})  # fmt: skip


def damaged(folder: Path, name: str, data: bytes) -> str:
    """What is said of a damaged file, in one line that names it."""
    path = folder / name
    path.write_bytes(data)
    said = complaint(lambda: rows(raw_file(path)))
    assert str(path) in said
    assert ".." not in said.replace(str(path), "")
    return said


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("kind", [".csv.gz", ".csv.zst", ".csv.zip", ".parquet", ".feather", ".parquet.gz"])
def test_cut_files_are_named(tmp_path: Path, kind: str, share: float) -> None:
    base, _, packing = kind[1:].partition(".")
    packing = f".{packing}" if packing else ""
    data = PACKINGS[packing](bytes_of(LONG, f".{base}"), f"table.{base}")
    said = damaged(tmp_path, f"table{kind}", data[: int(share * len(data))])
    assert ("is no zip, or only a part of one" if packing == ".zip" else "cannot be read: ") in said


@pytest.mark.parametrize("kind", [".csv.gz", ".csv.zst", ".csv.zip", ".parquet", ".feather"])
def test_wrong_bytes_are_named(tmp_path: Path, kind: str) -> None:
    assert "table" in damaged(tmp_path, f"table{kind}", b"id,text\n1,a\n")
    packing = f".{kind.split('.')[2]}" if kind.count(".") == 2 else ""
    if packing:
        data = bytearray(PACKINGS[packing](bytes_of(LONG, ".csv"), "table.csv"))
        data[len(data) // 2 : len(data) // 2 + 50] = b"\xff" * 50
        assert "cannot be read: " in damaged(tmp_path, f"table{kind}", bytes(data))


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.csv", b"", "is empty."),
        ("a.csv.gz", gzip.compress(b"", mtime=0), "is empty."),
        ("a.jsonl", b"", "is empty."),
        ("a.jsonl.gz", gzip.compress(b"", mtime=0), "is empty."),
        ("a.zip", zipped({"a.csv": b""}), "is empty."),
        ("a.csv", b"id,text\n", "holds no rows."),
        ("a.tsv", b"id\ttext\n\n\n", "holds no rows."),
        ("a.parquet", bytes_of(FRAME.iloc[:0], ".parquet"), "holds no rows."),
        ("a.feather", bytes_of(FRAME.iloc[:0], ".feather"), "holds no rows."),
        ("a.csv", b"id,text\n1,caf\xe9\n", "is not UTF-8: "),
        ("a.csv", "id,text\n1,x\n".encode("utf-16"), "a.csv "),
        ("a.jsonl", b'{"a": 1}\n{"a": "x"}\n', "cannot be read: JSON parse error"),
        ("a.jsonl", b'[{"a": 1}]', "has no object in row 1."),
        ("a.jsonl", b"{'a': 1}\n", "cannot be read: JSON parse error"),
        (
            "a.zip",
            zipped({"a.csv": b"id\n1\n", "b/b.csv": b"id\n1\n"}),
            "should hold one table, and holds a.csv, b.csv",
        ),
        ("a.zip", zipped({"a.xlsx": b"id\n1\n"}), "should hold one table, and holds none"),
        ("a.xlsx", b"x", "has the ending of no table that plmrs reads"),
        ("a.gz", b"x", "has the ending of no table that plmrs reads"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    assert said in damaged(tmp_path, name, data)


def test_a_locked_zip_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.csv": b"id\n1\n"}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    assert "encrypted" in damaged(tmp_path, "a.zip", bytes(data))


def test_a_missing_file_is_told_from_a_misspelt_one(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("id\n1\n")
    with pytest.raises(UserError) as caught:
        raw_file(tmp_path / "itms.csv")
    assert caught.value.message == f"There is no file {tmp_path / 'itms.csv'}."
    assert caught.value.remedy == f"Did you mean {tmp_path / 'items.csv'}?"
    with pytest.raises(UserError) as caught:
        raw_file(tmp_path / "none" / "x.csv")
    assert "spelling" in caught.value.remedy


def test_a_folder_without_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("id\n1\n")
    write_parts(tmp_path / "_temporary", ["part-0.parquet"])
    with pytest.raises(UserError, match=r"The folder .* holds no Parquet files"):
        raw_file(tmp_path)


def lines(n: int, wrong: int, text: bytes) -> bytes:
    """A table with a header and n rows, of which one is something else; the header is row 1."""
    return b"id,text\n" + b"".join(text if row == wrong else b"%d,row\n" % row for row in range(2, n + 2))


@pytest.mark.parametrize("row", [2, 3, 150, 999, 1001])
@pytest.mark.parametrize("kind", [".csv", ".tsv"])
def test_the_row_at_fault_is_named_whatever_its_block(
    tmp_path: Path, small_blocks: Callable[[int], None], kind: str, row: int
) -> None:
    small_blocks(100)
    separator = b"," if kind == ".csv" else b"\t"
    for wrong, said in (
        (b"1,2,3\n", f"Row #{row}: Expected 2 columns, got 3"),
        (b"1\n", f"Row #{row}: Expected 2 columns, got 1"),
        (b"1,caf\xe9\n", f"is not UTF-8: In CSV column #1: Row #{row}: "),
    ):
        assert said in damaged(tmp_path, f"a{kind}", lines(1000, row, wrong).replace(b",", separator))


@pytest.mark.parametrize("block", [100, 1000, 1 << 20])
@pytest.mark.parametrize("row", [2, 150, 1001])
def test_a_quote_that_is_never_closed(
    tmp_path: Path, small_blocks: Callable[[int], None], row: int, block: int
) -> None:
    small_blocks(block)
    said = f"has a quote that is never closed, in row {row} or before."
    for wrong in (b'1,"open\n', b'"open,1\n', b'12" vinyl,"open\n', b'1,"open""\n'):
        assert said in damaged(tmp_path, "a.csv", lines(1000, row, wrong))


@pytest.mark.parametrize("kind", [".csv", ".tsv", ".jsonl"])
def test_a_row_has_to_fit_into_a_block(tmp_path: Path, small_blocks: Callable[[int], None], kind: str) -> None:
    small_blocks(200)
    frame = pd.DataFrame({"id": ["1", "2", "3"], "text": ["x", "y" * 1000, "z"]})
    said = damaged(tmp_path, f"a{kind}", bytes_of(frame, kind))
    assert "has a row of more than 200 bytes." in said


def test_a_table_of_several_feather_batches(tmp_path: Path) -> None:
    table = pa.table({"id": pa.array(["a", "b", "a", None] * 5).dictionary_encode(), "row": list(range(20))})
    feather.write_feather(table, str(tmp_path / "a.feather"), chunksize=3)
    with pa.OSFile(str(tmp_path / "b.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        for batch in table.to_batches(max_chunksize=7):
            writer.write_batch(batch)
    for name in ("a.feather", "b.arrow"):
        assert rows(raw_file(tmp_path / name)) == table.to_pydict()


def test_row_groups_of_one_parquet_file(tmp_path: Path, small_blocks: Callable[[int], None]) -> None:
    small_blocks(140)
    table = pa.Table.from_pandas(LOG)
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=9)
    assert rows(raw_file(tmp_path / "a.parquet"), ["time", "user_id"]) == table.select(["time", "user_id"]).to_pydict()
    assert max(len(batch) for batch in batches(raw_file(tmp_path / "a.parquet"), ["time"])) <= 7
