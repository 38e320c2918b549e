from pathlib import Path

import pandas as pd
import pytest
from interactions import rows
from raw_files import complaint, zip_of

from plmrs.config import RawOptions
from plmrs.data.sources import bilibili
from plmrs.data.sources.source import Source
from plmrs.errors import UserError

SECONDS = "seconds since 1970-01-01 UTC"
# MicroLens: headers, milliseconds, quotes where a title has a comma or a quote.
TITLES = 'item,title\n1,Cats 😺\n02,"Dogs, ""good"" ones"\n3,\n02,Left out\n'
PAIRS = "user,item,timestamp\n7,02,1583378629552\n7,1,1583378629000\n007,1,1583378630000\n7,99,1583378631000\n"
SEQUENCES = "7\t1 02 99\n007\t1\n8\t\n"
# NineRec: no headers; item, user, time; a Chinese and an English title.
NINEREC_ITEMS = 'v1,猫咪,Cats\nv2,"狗,狗","Dogs, good ""ones"""\nv3,无题,\nv2,again,Left out\n'
NINEREC_PAIRS = "v2,u7,1583378629\nv1,u7,1583378628\nv1,u07,1583378630\nv9,u7,1583378631\n"
NINEREC_TAKEN = [
    ("u7", "v2", 1583378629),
    ("u7", "v1", 1583378628),
    ("u07", "v1", 1583378630),
    ("u7", "v9", 1583378631),
]


def write(folder: Path, **files: str) -> None:
    """Files by their names with `_csv` or `_tsv` for the ending."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name[:-4]}.{name[-3:]}").write_bytes(content.encode())


def read(*places: Path, **options: object) -> Source:
    found = bilibili.find(places)
    assert found is not None
    return bilibili.read(*found, RawOptions(**options))


def test_microlens(tmp_path: Path):
    write(tmp_path, **{"MicroLens-50k_titles_csv": TITLES, "MicroLens-50k_pairs_csv": PAIRS})
    source = read(tmp_path)
    assert source.items.to_pydict() == {"item_id": ["1", "02", "3"], "text": ["Cats 😺", 'Dogs, "good" ones', ""]}
    assert rows(source.interactions) == [
        ("7", "02", 1583378629.552),
        ("7", "1", 1583378629.0),
        ("007", "1", 1583378630.0),
        ("7", "99", 1583378631.0),
    ]
    assert source.time_unit == SECONDS
    assert [tally.count for tally in source.dropped] == [0, 1, 0]


def test_pairs_with_times_come_before_sequences(tmp_path: Path):
    write(tmp_path, **{"MicroLens-50k_titles_csv": TITLES, "MicroLens-50k_pairs_tsv": SEQUENCES})
    source = read(tmp_path)
    assert source.items.column("item_id").to_pylist() == ["1", "02", "3"]
    assert rows(source.interactions) == [
        ("7", "1", None),
        ("7", "02", None),
        ("7", "99", None),
        ("007", "1", None),
    ]
    assert source.time_unit == "row in the file"
    assert ("users", 1, "their history is empty") in [(tally.what, tally.count, tally.why) for tally in source.dropped]
    assert "MicroLens-50k_pairs.tsv has no header; its columns are userid, behaviors." in source.rules
    write(tmp_path, **{"MicroLens-50k_pairs_csv": PAIRS})
    assert read(tmp_path).time_unit == SECONDS


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("how", ["plain", "crlf", "bom"])
def test_ninerec(tmp_path: Path, swapped: bool, how: str):
    pairs = NINEREC_PAIRS
    if swapped:  # As NineRec's page says its files are.
        pairs = "".join("{1},{0},{2}\n".format(*line.split(",")) for line in pairs.splitlines())
    ends = {"plain": lambda text: text, "crlf": lambda text: text.replace("\n", "\r\n"), "bom": "\ufeff{}".format}
    write(tmp_path, Bili_Food_item_csv=ends[how](NINEREC_ITEMS), Bili_Food_pair_csv=ends[how](pairs))
    source = read(tmp_path)
    assert source.items.to_pydict() == {"item_id": ["v1", "v2", "v3"], "text": ["Cats", 'Dogs, good "ones"', ""]}
    assert rows(source.interactions) == NINEREC_TAKEN
    assert source.time_unit == SECONDS
    assert "Bili_Food_item.csv has no header; its columns are item_id, title_zh, title." in source.rules
    chinese = read(tmp_path, text_fields=("title_zh",))
    assert chinese.items.column("text").to_pylist() == ["猫咪", "狗,狗", "无题"]


def test_ninerec_without_times_is_in_the_order_of_rows(tmp_path: Path):
    pairs = "".join(line.rpartition(",")[0] + "\n" for line in NINEREC_PAIRS.splitlines())
    write(tmp_path, QB_item_csv="v1,Cats\nv2,Dogs\n", QB_pair_csv=pairs)
    source = read(tmp_path)
    assert source.items.column("text").to_pylist() == ["Cats", "Dogs"]
    assert rows(source.interactions) == [(user, item, None) for user, item, _ in NINEREC_TAKEN]
    assert source.time_unit == "row in the file"


def test_histories_made_by_ninerec_are_read_when_there_are_no_pairs(tmp_path: Path):
    write(tmp_path, QB_item_csv=NINEREC_ITEMS, QB_behaviour_tsv="u7\tv2 v1\nu07\tv1\n")
    assert rows(read(tmp_path).interactions) == [("u7", "v2", None), ("u7", "v1", None), ("u07", "v1", None)]
    write(tmp_path, QB_pair_csv=NINEREC_PAIRS)
    assert rows(read(tmp_path).interactions) == NINEREC_TAKEN


@pytest.mark.parametrize(
    "names",
    [("items", "pairs"), ("MicroLens-100k_title_en", "MicroLens-100k_pairs"), ("Bili_ITEM", "Bili_Pair")],
)
def test_names_are_matched_by_their_ends(tmp_path: Path, names: tuple[str, str]):
    write(tmp_path / "any", **{f"{names[0]}_csv": TITLES, f"{names[1]}_csv": PAIRS})
    write(tmp_path / "any", subtitles_csv="a,b\n", tags_to_summary_csv="a,b\n", Bili_Food_url_csv="a,b\n")
    assert len(read(tmp_path).interactions.users) == 4


def test_other_columns_and_formats(tmp_path: Path):
    pd.DataFrame({"vid": [1, 2], "headline": ["Cats", "Dogs"]}).to_parquet(tmp_path / "items.parquet")
    pd.DataFrame({"vid": [2], "who": ["u"], "at": [5]}).to_parquet(tmp_path / "pairs.parquet")
    source = read(tmp_path, item_column="vid", text_fields=("headline",), user_column="who", time_column="at")
    assert source.items.to_pydict() == {"item_id": ["1", "2"], "text": ["Cats", "Dogs"]}
    assert rows(source.interactions) == [("u", "2", 5)]


def test_what_is_zipped_and_unzipped_is_no_choice(tmp_path: Path):
    write(tmp_path / "raw", **{"MicroLens-50k_titles_csv": TITLES})
    older = {"data/MicroLens-50k_titles.csv": "item,title\n1,Older\n", "data/MicroLens-50k_pairs.csv": PAIRS}
    zip_of(tmp_path / "raw" / "MicroLens.zip", older)
    write(tmp_path / "old", **{"MicroLens-50k_titles_csv": TITLES, "MicroLens-50k_pairs_csv": PAIRS})
    source = read(tmp_path / "raw", tmp_path / "old")
    assert source.items.column("text").to_pylist()[0] == "Cats 😺"
    assert [Path(file.path).name for file in source.files] == ["MicroLens-50k_titles.csv", "MicroLens.zip"]


@pytest.mark.parametrize("which", ["item", "pair"])
def test_several_are_named(tmp_path: Path, which: str):
    write(tmp_path / "Bili_Food", Bili_Food_item_csv=NINEREC_ITEMS, Bili_Food_pair_csv=NINEREC_PAIRS)
    write(tmp_path / "Bili_Dance", **{f"Bili_Dance_{which}_csv": NINEREC_ITEMS})
    with pytest.raises(UserError) as caught:
        bilibili.find([tmp_path])
    assert f"Bili_Dance_{which}.csv, " in caught.value.message
    assert f"Bili_Food_{which}.csv." in caught.value.message
    assert "--items FILE --interactions FILE" in caught.value.remedy


def test_what_is_missing_is_named(tmp_path: Path):
    places = [tmp_path / "raw", tmp_path / "old"]
    assert bilibili.find(places) is None
    error = bilibili.missing("bilibili", places)
    assert "no table of items such as MicroLens-50k_titles.csv and no table of pairs such as " in error.message
    assert f" in {places[0]} and {places[1]}," in error.message
    assert "https://github.com/westlake-repl/NineRec" in error.remedy
    assert "https://github.com/westlake-repl/MicroLens" in error.remedy
    write(places[1], items_csv=TITLES)
    assert bilibili.find(places) is None
    assert "there is no table of pairs such as" in bilibili.missing("bilibili", places).message


@pytest.mark.parametrize(
    ("items", "pairs", "said"),
    [
        (NINEREC_ITEMS, "v1,v2,3\n", "item.csv stand in both of its first two columns"),
        (NINEREC_ITEMS, "x1,u1,3\n", "item.csv stand in neither of its first two columns"),
        (NINEREC_ITEMS, "v1,u1,3,4\n", "pair.csv has no header, and not 2 or 3 columns, but 4."),
        ("v1\n", NINEREC_PAIRS, "item.csv has no header, and not 2 or 3 columns, but 1."),
        ("vid,cover\nv1,x\n", NINEREC_PAIRS, "item.csv has no column item_id or "),
        (NINEREC_ITEMS, "who,what,when\nu1,v1,3\n", "pair.csv has no column item_id or "),
        (NINEREC_ITEMS, NINEREC_PAIRS + "v1,u8", "pair.csv cannot be read: CSV parse error: Row #5: Expected 3"),
        (NINEREC_ITEMS, NINEREC_PAIRS + "v1,u8,\n", "pair.csv has no time in row 5 of column timestamp"),
        (TITLES.replace("item,", "item;"), PAIRS, "item.csv cannot be read: CSV parse error: Row #2: "),
        (TITLES, PAIRS.replace("1583378631000", "soon"), "soon, in row 5 of column timestamp"),
        ("", PAIRS, "item.csv is empty"),
    ],
)  # fmt: skip
def test_damage_is_one_line(tmp_path: Path, items: str, pairs: str, said: str):
    write(tmp_path, item_csv=items, pair_csv=pairs)
    assert said in complaint(lambda: read(tmp_path))


@pytest.mark.parametrize(
    ("sequences", "said"),
    [
        ("user\titems\n7\t1 02\n", "pairs.tsv has no column item_id or "),
        ("7\t1 02\n8", "pairs.tsv cannot be read: CSV parse error: "),
    ],
)
def test_damaged_histories_are_one_line(tmp_path: Path, sequences: str, said: str):
    write(tmp_path, titles_csv=TITLES, pairs_tsv=sequences)
    assert said in complaint(lambda: read(tmp_path))
