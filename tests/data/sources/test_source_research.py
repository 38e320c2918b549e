from pathlib import Path

import numpy as np
import pytest
from interactions import rows
from raw_files import SPELLINGS, complaint, zip_of

from plmrs.config import RawOptions
from plmrs.data.sources import raw, research
from plmrs.data.sources.source import Source
from plmrs.errors import UserError

OWNER = "https://example.org"
# A quote that opens and never closes, two spaces, non-ASCII, no text, an id that stands twice.
NEWS = 'newsid\ttitle\nN1\t"Quoted\n0108775015\tHe said "no"\nN3\t Café  crème \nN4\t\nN1\tLeft out\n'
# An id without an item, an empty history, spaces too many, a user in two rows, no user id.
BEHAVIORS = "userid\tbehaviors\nU1\tN3 0108775015 N9 N3\nU2\t\n007\t N1  N3 \nU1\tN1\n\tN1 N3\n"
TAKEN = [
    ("U1", "N3", None),
    ("U1", "0108775015", None),
    ("U1", "N9", None),
    ("U1", "N3", None),
    ("007", "N1", None),
    ("007", "N3", None),
    ("U1", "N1", None),
]


def write(folder: Path, items: str = NEWS, behaviors: str = BEHAVIORS, name: str = "news.tsv") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(items.encode())
    (folder / "behaviors.tsv").write_bytes(behaviors.encode())


def read(*places: Path, name: str = "MIND_small", **options: object) -> Source:
    found = research.find(name, places, OWNER)
    assert found is not None
    return research.read(*found, RawOptions(**options))


def test_items_and_histories(tmp_path: Path):
    write(tmp_path)
    source = read(tmp_path)
    assert source.items.to_pydict() == {
        "item_id": ["N1", "0108775015", "N3", "N4"],
        "text": ['"Quoted', 'He said "no"', "Café crème", ""],
    }
    assert rows(source.interactions) == TAKEN
    assert source.interactions.times is None
    assert source.time_unit == "row in the file"
    assert [(tally.what, tally.count) for tally in source.read] == [("items", 5), ("histories", 5), ("interactions", 9)]
    assert {tally.why: tally.count for tally in source.dropped} == {
        "they have no id": 0,
        "their id stands in an earlier row, whose text is kept": 1,
        "they have no user id": 2,
        "their history is empty": 1,
    }


@pytest.mark.parametrize(
    ("name", "table", "header"),
    [
        ("MIND_large", "news.tsv", "newsid\ttitle"),
        ("hm", "items.tsv", "itemid\tdescription"),
        ("bilibili", "videos.tsv", "videoid\tdescription"),
        ("hm", "videos.tsv", "videoid\tdescription"),
        ("bilibili", "Items.TSV", "item_id\tTitle"),
    ],
)
def test_every_table_of_items(tmp_path: Path, name: str, table: str, header: str):
    write(tmp_path, NEWS.replace("newsid\ttitle", header), name=table)
    source = read(tmp_path, name=name)
    assert source.items.column("item_id").to_pylist() == ["N1", "0108775015", "N3", "N4"]
    assert rows(source.interactions) == TAKEN


@pytest.mark.parametrize("how", SPELLINGS)
def test_spellings_of_the_files(tmp_path: Path, how: str):
    write(tmp_path, *(SPELLINGS[how](text.encode()).decode() for text in (NEWS, BEHAVIORS)))
    source = read(tmp_path)
    assert source.items.column("text").to_pylist() == ['"Quoted', 'He said "no"', "Café crème", ""]
    assert rows(source.interactions) == TAKEN


def test_text_and_category_as_asked(tmp_path: Path):
    write(tmp_path, "newsid\ttitle\tabstract\tcategory\nN1\tOne\tFirst.\tnews\nN3\tTwo\t\tfood\n")
    plain = read(tmp_path)
    assert plain.items.to_pydict() == {"item_id": ["N1", "N3"], "text": ["One", "Two"], "category": ["news", "food"]}
    assert read(tmp_path, text_fields=("title", "abstract")).items.column("text").to_pylist() == ["One First.", "Two"]
    template = read(tmp_path, text_template="{category}: {title}", category_column="abstract")
    assert template.items.column("text").to_pylist() == ["news: One", "food: Two"]
    assert template.items.column("category").to_pylist() == ["First.", ""]
    with pytest.raises(UserError, match="no column body for texts; it has newsid, title, abstract, category"):
        read(tmp_path, text_fields=("body",))


def test_zipped_and_below(tmp_path: Path):
    zip_of(
        tmp_path / "downloads" / "mind.zip",
        {"MIND/news.tsv": NEWS, "MIND/behaviors.tsv": BEHAVIORS, "__MACOSX/MIND/._behaviors.tsv": "not ours"},
    )
    source = read(tmp_path)
    assert rows(source.interactions) == TAKEN
    assert [Path(file.path).name for file in source.files] == ["mind.zip"]
    # What is unzipped comes first, and the items are those beside the behaviours.
    write(tmp_path / "a", "newsid\ttitle\nN1\tAnother\n", "userid\tbehaviors\nU1\tN1\n")
    (tmp_path / "a" / "behaviors.tsv").unlink()
    write(tmp_path / "b", "newsid\ttitle\nN1\tBeside\n", "userid\tbehaviors\nU1\tN1\n")
    source = read(tmp_path)
    assert source.items.column("text").to_pylist() == ["Beside"]
    assert rows(source.interactions) == [("U1", "N1", None)]


def test_long_logs_are_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(raw, "BLOCK", 1 << 10)
    rng = np.random.default_rng(0)
    histories = [[f"N{item}" for item in rng.integers(500, size=rng.integers(12))] for _ in range(1000)]
    lines = [f"U{user % 700}\t{' '.join(items)}\n" for user, items in enumerate(histories)]
    write(tmp_path, behaviors="userid\tbehaviors\n" + "".join(lines))
    taken = [(f"U{user % 700}", item, None) for user, items in enumerate(histories) for item in items]
    assert rows(read(tmp_path).interactions) == taken


def test_one_without_the_other(tmp_path: Path):
    assert research.find("hm", [tmp_path], OWNER) is None
    write(tmp_path)
    (tmp_path / "news.tsv").rename(tmp_path / "news.txt")
    with pytest.raises(UserError) as caught:
        research.find("hm", [tmp_path, tmp_path / "old"], OWNER)
    assert caught.value.message == (
        f"hm: there is no items.tsv to go with {tmp_path / 'behaviors.tsv'} in {tmp_path} and {tmp_path / 'old'},"
        " nor two levels below or in a zip there."
    )
    assert OWNER in caught.value.remedy
    (tmp_path / "behaviors.tsv").rename(tmp_path / "items.tsv")
    with pytest.raises(UserError, match=r"no behaviors\.tsv to go with .*items\.tsv in"):
        research.find("hm", [tmp_path], OWNER)


@pytest.mark.parametrize(
    ("items", "behaviors", "said"),
    [
        (NEWS, BEHAVIORS.partition("\n")[2], "does not begin with the header userid, behaviors, but with 'U1'."),
        (NEWS, "1\tU1\t11/12/2019 2:14:46 PM\tN1\tN3-1\n", "behaviors.tsv does not begin with the header"),
        (NEWS, BEHAVIORS + "U9", "behaviors.tsv cannot be read: CSV parse error: Row #7: Expected 2 columns, got 1"),
        (NEWS, "userid\tbehaviors\n", "behaviors.tsv holds no rows"),
        (NEWS, "", "behaviors.tsv is empty"),
        (NEWS.partition("\n")[2], BEHAVIORS, "news.tsv has no column "),
        (NEWS + "N5\tA\ttab\n", BEHAVIORS, "news.tsv cannot be read: CSV parse error: Row #7: Expected 2"),
        ("newsid\ttitle\n", BEHAVIORS, "news.tsv holds no rows"),
    ],
)  # fmt: skip
def test_damage_is_one_line(tmp_path: Path, items: str, behaviors: str, said: str):
    write(tmp_path, items, behaviors)
    assert said in complaint(lambda: read(tmp_path))


def test_other_encodings_are_refused(tmp_path: Path):
    write(tmp_path)
    (tmp_path / "behaviors.tsv").write_bytes(b"userid\tbehaviors\nU1\tN1\nU\xe9\tN1\n")
    with pytest.raises(UserError, match=r"behaviors\.tsv is not UTF-8: .*Row #3"):
        read(tmp_path)
