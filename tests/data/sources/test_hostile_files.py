"""Raw files that are made to do harm: refused in a line, without much memory, and nothing is written anywhere."""

import gzip
import io
import re
import resource
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, parquet
from raw_files import complaint, zip_of

from plmrs.cli import main
from plmrs.config import RawOptions
from plmrs.data.sources import raw, table, unpacked
from plmrs.data.sources.files import batches, column_names, read_columns
from plmrs.data.sources.raw import raw_file

ITEMS = "item_id,title\n" + "".join(f"{i},Title {i}\n" for i in range(8))
TAKEN = "user_id,item_id,timestamp\n" + "".join(f"u{u},{(u + s) % 8},{s}\n" for u in range(4) for s in range(6))


def rows(path: Path) -> dict[str, list]:
    file = raw_file(path)
    return read_columns(file, column_names(file)).to_pydict()


def written(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


# JSON that Arrow's reader would end the process at, or take as it is


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"null\n", "has no object in row 1"),
        (b'{"a": 1}\n\n  null\n', "has no object in row 3"),
        (b'{"a": 1}\r\nnull\r\n', "has no object in row 2"),
        (b'\xef\xbb\xbfnull\n', "has no object in row 1"),
        (b'{"a":\n1}\n', "has no object in row 2"),
        (b'{"a": 1},\n{"a": 2}\n', "cannot be read: "),
        (b'{"a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}\n", "holds more than 1,000 lists in one another"),
        (b'{"a": 1}\n' + b'{"a": ' * 50_000 + b"1" + b"}" * 50_000, "holds more than 1,000 lists in one another"),
        (b'{"a": "]]]", "b": ' * 50_000 + b"1" + b"}" * 50_000, "holds more than 1,000 lists in one another"),
        (b'{"a": "caf\xe9"}\n', "is not UTF-8"),
        (b'{"a": "\\ud800"}\n', "cannot be read: "),
        (b'{"a": 1, "a": 2}\n', "cannot be read: "),
    ],
    ids=range(12),
)  # fmt: skip
def test_json_that_is_no_row_a_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = written(tmp_path, "a.jsonl", content)
    assert said in complaint(lambda: rows(path))


@pytest.mark.parametrize("block", [64, 100, 1 << 22])
def test_json_is_looked_at_in_every_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(raw, "BLOCK", block)
    lines = [b'{"a": "null {[", "b": 1}\n' for _ in range(40)]
    assert rows(written(tmp_path, "a.jsonl", b"".join(lines)))["a"] == ["null {["] * 40
    for wrong in range(1, 40):
        content = b"".join(b"null\n" if row == wrong else line for row, line in enumerate(lines))
        path = written(tmp_path, "a.jsonl", content)
        assert f"row {wrong + 1}." in complaint(partial(rows, path))


@pytest.mark.parametrize("before", range(1_200, 3_800, 200))
def test_lists_too_deep_are_found_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int) -> None:
    monkeypatch.setattr(raw, "BLOCK", 3_800)
    first = b'{"a": 1, "b": "' + b"x" * (before - 18) + b'"}\n'
    assert len(first) == before
    path = written(tmp_path, "a.jsonl", first + b'{"a": ' + b"[" * 1_100 + b"]" * 1_100 + b"}\n")
    assert "holds more than 1,000 lists in one another" in complaint(lambda: rows(path))


def test_many_lists_beside_one_another_are_no_depth(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", b'{"a": "x", "b": [' + b",".join([b'["1", "]"]'] * 5_000) + b"]}\n")
    assert read_columns(raw_file(path), ["a"]).to_pydict() == {"a": ["x"]}


# Numbers that are no ids, texts that are none


@pytest.mark.parametrize("ids", ["[9007199254740993, 1.0]", "[12345678901234567890, 1]"])
def test_ids_that_a_float_cannot_hold_are_refused(tmp_path: Path, ids: str) -> None:
    first, second = ids.strip("[]").split(", ")
    content = f'{{"item_id": {first}, "title": "a"}}\n{{"item_id": {second}, "title": "b"}}\n'
    items = written(tmp_path, "items.jsonl", content.encode())
    taken = written(tmp_path, "taken.csv", TAKEN.encode())
    said = complaint(lambda: table.read(raw_file(items), raw_file(taken), RawOptions()))
    assert "item_id" in said
    assert "which are no ids" in said


@pytest.mark.parametrize("kind", [".parquet", ".feather"])
def test_texts_that_are_not_utf8(tmp_path: Path, kind: str) -> None:
    wrong = pa.Array.from_buffers(pa.string(), 1, pa.array([b"caf\xe9"]).buffers())
    path, frame = tmp_path / f"a{kind}", pa.table({"a": wrong})
    _ = parquet.write_table(frame, path) if kind == ".parquet" else feather.write_feather(frame, str(path))
    assert "is not UTF-8" in complaint(lambda: rows(path))


def test_places_outside_of_a_feather_file(tmp_path: Path) -> None:
    path = tmp_path / "a.feather"
    feather.write_feather(pa.table({"a": ["x", "yz"]}), str(path), compression="uncompressed")
    bounds = np.array([0, 1, 3], np.int32)
    assert path.read_bytes().count(bounds.tobytes()) == 1
    path.write_bytes(path.read_bytes().replace(bounds.tobytes(), (bounds << 28).tobytes()))
    assert "cannot be read: " in complaint(lambda: rows(path))


# Lines and quotes without an end


@pytest.mark.parametrize(("name", "line"), [
    ("a.csv", b'id,text\n1,"' + b"a" * (10 << 20)),
    ("b.csv", b"id,text\n1," + b"a" * (10 << 20) + b"\n"),
    ("c.csv", b"i" * (10 << 20)),
    ("d.tsv", b"id\ttext\n1\t" + b"a" * (10 << 20) + b"\n"),
    ("e.jsonl", b'{"id": "' + b"a" * (10 << 20) + b'"}\n'),
    ("f.jsonl", b'{"id": 1}\n{"id": 2, "text": "' + b"a" * (10 << 20) + b'"}\n'),
], ids="abcdef")  # fmt: skip
def test_a_line_of_ten_megabytes(tmp_path: Path, name: str, line: bytes) -> None:
    said = complaint(lambda: rows(written(tmp_path, name, line)))
    assert len(said) < 500
    assert any(words in said for words in ("never closed", "a row of more than 4,194,304 bytes", "holds no rows"))


def test_long_texts_beside_a_stray_quote_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", b'id,text\n1,12" vinyl\n2,' + b"x" * 300_000 + b"\n")
    assert [len(text) for text in rows(path)["text"]] == [9, 300_000]


# Zips and other packings


def test_members_that_lead_elsewhere_are_read_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    for name in ("../../items.csv", "/items.csv", "..\\..\\items.csv"):
        zip_of(inside / "items.zip", {name: ITEMS})
        (inside / "taken.csv").write_text(TAKEN)
        before = {path for path in tmp_path.rglob("*") if inside / "data" not in path.parents}
        assert main(["prepare", "one", "--items", "items.zip", "--interactions", "taken.csv"]) == 0
        after = {path for path in tmp_path.rglob("*") if inside / "data" not in path.parents}
        assert after - before <= {inside / "data"}


def test_a_link_in_a_zip_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text(ITEMS)
    link = zipfile.ZipInfo("items.csv")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, str(tmp_path / "secret.csv"))
    assert "holds no rows" in complaint(lambda: rows(tmp_path / "a.zip"))


def test_two_members_of_one_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.csv", "id\n1\n")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.csv", "id\n2\n")
    assert "holds two files a.csv" in complaint(lambda: rows(tmp_path / "a.zip"))


def test_zips_in_zips_are_not_opened(tmp_path: Path) -> None:
    inner = zip_of(tmp_path / "1.zip", {"a.csv": ITEMS})
    zip_of(tmp_path / "3.zip", {"2.zip": zip_of(tmp_path / "2.zip", {"1.zip": inner})})
    assert "should hold one table, and holds none" in complaint(lambda: rows(tmp_path / "3.zip"))


def test_many_names_are_not_all_told(tmp_path: Path) -> None:
    zip_of(tmp_path / "a.zip", {f"{i}.csv": "x" for i in range(500)})
    said = complaint(lambda: rows(tmp_path / "a.zip"))
    assert said.endswith("7.csv and 492 more.")


BOMB = b"id,text\n" + b"1,a\n" * 500_000


@pytest.mark.parametrize("kind", ["csv.gz", "csv.zst", "zip", "jsonl.gz"])
def test_what_unpacks_to_far_more_than_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    content = BOMB if "jsonl" not in kind else b'{"id": 1, "text": 2}\n' * 100_000
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        zip_of(path, {"a.csv": content})
    else:
        path.write_bytes(gzip.compress(content) if kind.endswith("gz") else pa.compress(content, "zstd", asbytes=True))
    n = sum(len(batch) for batch in batches(raw_file(path), ["id"]))
    assert n in (500_000, 100_000)
    monkeypatch.setattr(unpacked, "HARMLESS", 1 << 20)
    said = complaint(lambda: rows(path)).removeprefix(f"{path}{'/a.csv' * (kind == 'zip')} ")
    assert re.fullmatch(r"unpacks to more than \d MiB, over 200 times its own size\.", said)


def test_a_packed_file_that_is_read_whole_takes_no_more_memory_than_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    parquet.write_table(pa.table({"a": np.random.default_rng(0).integers(0, 1 << 60, 200_000)}), buffer)
    zip_of(tmp_path / "a.zip", {"a.parquet": buffer.getvalue()})
    assert len(rows(tmp_path / "a.zip")["a"]) == 200_000
    monkeypatch.setattr(unpacked, "PORTION", 1 << 16)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Free", (), {"available": 1 << 20}))
    assert "half of the memory that is free" in complaint(lambda: rows(tmp_path / "a.zip"))


@pytest.mark.slow
@pytest.mark.parametrize(("first", "block"), [(b"1,a\n", b"1,a\n"), (b'1,"', b"a")], ids=["rows", "one quote"])
def test_a_real_bomb_takes_neither_memory_nor_disk(tmp_path: Path, first: bytes, block: bytes) -> None:
    """A gigabyte in one megabyte, read by a process that may have two."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.csv", "w") as file:
        file.write(b"item_id,title\n")
        for number in range(1 << 10):
            file.write(first if not number else block * ((1 << 20) // len(block)))
    (tmp_path / "taken.csv").write_text(TAKEN)
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from plmrs.cli import main; sys.exit(main())", "prepare", "one",
         "--items", "a.zip", "--interactions", "taken.csv"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30)),
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("Error: ") == 1
    assert not list((tmp_path / "data").rglob("*.feather"))


# Links that the user made


def test_links_are_followed_for_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "i.csv").write_text(ITEMS)
    (elsewhere / "t.csv").write_text(TAKEN)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    (here / "items.csv").symlink_to(elsewhere / "i.csv")
    (here / "taken.csv").symlink_to(elsewhere / "t.csv")
    assert main(["prepare", "one", "--items", "items.csv", "--interactions", "taken.csv"]) == 0
    before = {path.name for path in elsewhere.iterdir()}
    # A prepared data set that is a link is replaced, not written through.
    (here / "data" / "prepared" / "one").rename(elsewhere / "one")
    (here / "data" / "prepared" / "one").symlink_to(elsewhere / "one")
    stamps = {path: path.stat().st_mtime_ns for path in (elsewhere / "one").iterdir()}
    assert main(["prepare", "one", "--items", "items.csv", "--interactions", "taken.csv"]) == 0
    assert not (here / "data" / "prepared" / "one").is_symlink()
    assert stamps == {path: path.stat().st_mtime_ns for path in (elsewhere / "one").iterdir()}
    assert {path.name for path in elsewhere.iterdir()} == before | {"one"}
    assert [path.name for path in (here / "data" / "prepared").iterdir() if not path.name.startswith(".")] == ["one"]
