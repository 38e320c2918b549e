from pathlib import Path

import pytest
from raw_files import complaint, zip_of

from plmrs.config import RawOptions
from plmrs.data.sources import hm, mind
from plmrs.data.sources.files import read_columns
from plmrs.data.sources.places import damaged_zips, folder_of, not_found, raw_files, table_name
from plmrs.data.sources.raw import raw_file
from plmrs.errors import UserError

NEWS = "N1\tnews\tworld\tTitle\tAbout\t\t\t\n"
BEHAVIORS = "1\tU1\t11/12/2019 2:14:46 PM\tN1\tN1-1\n"


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a,b\n")


def test_nearest_first_and_everything_unzipped_before_zips(tmp_path: Path):
    raw, old = tmp_path / "raw", tmp_path / "old"
    touch(raw / "b" / "c" / "deep.csv", raw / "b" / "below.tsv", raw / "z.csv", raw / "a.csv.gz", old / "a.parquet")
    touch(raw / "b" / "c" / "d" / "too_deep.csv", raw / "read.me", raw / "b" / "image.jpg")
    zip_of(raw / "b" / "c" / "second.zip", {"in/side.csv": "", "in/readme.txt": "", "__MACOSX/in/._side.csv": ""})
    zip_of(raw / "first.ZIP", {"top.feather": "", ".DS_Store": ""})
    found = raw_files([raw, tmp_path / "no", old])
    assert [f"{file.path.relative_to(tmp_path).as_posix()} {file.member}" for file in found] == [
        "raw/a.csv.gz None",
        "raw/z.csv None",
        "raw/b/below.tsv None",
        "raw/b/c/deep.csv None",
        "old/a.parquet None",
        "raw/first.ZIP top.feather",
        "raw/b/c/second.zip in/side.csv",
    ]


def test_names_and_folders(tmp_path: Path):
    touch(tmp_path / "Articles.CSV", tmp_path / "articles.csv.GZ")
    zip_of(tmp_path / "x.zip", {"in/side.tsv": "", "top.tsv": ""})
    names = {(table_name(file), folder_of(file).relative_to(tmp_path)) for file in raw_files([tmp_path])}
    assert names == {
        ("articles.csv", Path()),
        ("side.tsv", Path("x.zip/in")),
        ("top.tsv", Path("x.zip")),
    }
    assert len(raw_files([tmp_path])) == 4


def test_a_damaged_zip_hides_nothing(tmp_path: Path):
    whole = zip_of(tmp_path / "whole.zip", {"a.csv": "x" * 1000})
    (tmp_path / "cut.zip").write_bytes(whole[:-30])
    (tmp_path / "page.zip").write_text("<html>Sign in</html>")
    touch(tmp_path / "b.csv")
    assert [file.name for file in raw_files([tmp_path])] == ["b.csv", "a.csv"]
    assert [path.name for path in damaged_zips([tmp_path])] == ["cut.zip", "page.zip"]


def test_what_is_not_found(tmp_path: Path):
    places = [tmp_path / "raw", tmp_path / "old"]
    error = not_found("a.csv", "hm", places, "https://example.org")
    assert error.message == (
        f"hm: there is no a.csv in {places[0]} and {places[1]}, nor two levels below or in a zip there."
    )
    assert error.remedy == (
        f"Download it from its owner, https://example.org, and put it, zipped or not, into {places[0]}."
    )
    cut = places[1] / "cut.zip"
    cut.parent.mkdir()
    cut.write_bytes(b"PK")
    error = not_found("a.csv", "hm", places, "https://example.org")
    assert error.message == (
        f"hm: there is no a.csv in {places[0]} and {places[1]}, and a zip that may hold it is damaged: {cut}."
    )
    assert error.remedy == "Download it again from its owner, https://example.org."


def test_a_damaged_zip_is_an_error_only_when_something_is_missing(tmp_path: Path):
    touch(tmp_path / "articles.csv")
    (tmp_path / "transactions_train.csv.zip").write_bytes(b"PK")
    assert hm.find([tmp_path]) is None
    assert f"damaged: {tmp_path / 'transactions_train.csv.zip'}." in hm.missing("hm", [tmp_path]).message
    touch(tmp_path / "transactions_train.csv")
    assert hm.find([tmp_path]) is not None


def test_a_part_of_mind_in_a_damaged_zip_is_not_passed_over(tmp_path: Path):
    zip_of(tmp_path / "MINDsmall_train.zip", {"news.tsv": NEWS, "behaviors.tsv": BEHAVIORS})
    (tmp_path / "other.zip").write_bytes(b"PK")
    assert [part.name for part in mind.find("MIND_small", [tmp_path])] == ["MINDsmall_train"]
    dev = tmp_path / "MINDsmall_dev.zip"
    dev.write_bytes(b"PK")
    with pytest.raises(UserError) as caught:
        mind.find("MIND_small", [tmp_path])
    assert "there is no MINDsmall_dev with news.tsv and behaviors.tsv in " in caught.value.message
    assert f"damaged: {dev} and {tmp_path / 'other.zip'}." in caught.value.message
    (tmp_path / "MINDsmall_dev").mkdir()
    (tmp_path / "MINDsmall_dev" / "news.tsv").write_text(NEWS)
    (tmp_path / "MINDsmall_dev" / "behaviors.tsv").write_text(BEHAVIORS)
    assert len(mind.find("MIND_small", [tmp_path])) == 2
    # What is not there at all may be absent.
    dev.unlink()
    assert len(mind.find("MIND_small", [tmp_path])) == 2


@pytest.mark.parametrize("where", ["MINDsmall_train/MINDsmall_train.zip", "downloads/x.zip", "MINDsmall_train.zip"])
def test_a_zip_within_a_folder(tmp_path: Path, where: str):
    inside = "" if where.startswith("MINDsmall_train/") else "MINDsmall_train/"
    zip_of(tmp_path / where, {f"{inside}news.tsv": NEWS, f"{inside}behaviors.tsv": BEHAVIORS})
    source = mind.read(mind.find("MIND_small", [tmp_path]), RawOptions())
    assert source.items.column("text").to_pylist() == ["Title"]
    assert len(source.files) == 1


def test_damage_within_a_zip_is_one_line(tmp_path: Path):
    lines = "".join(f"{number},{number * 7919 % 1000}\n" for number in range(20_000))
    damaged = bytearray(zip_of(tmp_path / "bad.zip", {"a.csv": "item,title\n" + lines}))
    damaged[3000:3050] = b"\xff" * 50
    (tmp_path / "bad.zip").write_bytes(damaged)
    said = complaint(lambda: read_columns(raw_file(tmp_path / "bad.zip"), ["item"]))
    assert f"{tmp_path / 'bad.zip'}/a.csv cannot be read: " in said


def test_a_locked_zip_is_one_line(tmp_path: Path):
    locked = bytearray(zip_of(tmp_path / "locked.zip", {"a.csv": "item,title\n1,a\n"}))
    locked[6] |= 1  # the flag of encryption, in the entry itself and in the directory
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(locked)
    with pytest.raises(UserError, match=r"locked\.zip/a\.csv cannot be read: .*encrypted"):
        read_columns(raw_file(tmp_path / "locked.zip"), ["item"])
