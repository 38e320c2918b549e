import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from prepared import Notes, histories

from plmrs.config import PrepareConfig
from plmrs.data.dataset import Dataset, open_dataset
from plmrs.errors import UserError
from plmrs.prepare.command import prepare
from plmrs.prepare.reader import KNOWN

Write = Callable[[Path], None]
ITEMS = ("0108775015", "0110065001", "7", "no text", "Ü5")


def official_mind(folder: Path) -> None:
    for part, day in (("train", 12), ("dev", 15)):
        own = folder / f"MINDsmall_{part}"
        own.mkdir(parents=True)
        (own / "news.tsv").write_text("".join(f"{i}\tc\ts\tTitle {i}\t\t\t\t\n" for i in ITEMS))
        (own / "behaviors.tsv").write_text(f"1\tU1\t11/{day}/2019 2:14:46 PM\t0108775015 7\tÜ5-1 0110065001-0 lost-1\n")


def official_hm(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "articles.csv").write_text(
        "article_id,prod_name,product_type_name,product_group_name,colour_group_name,detail_desc\n"
        + "".join(f"{i},Top {i},Vest,Garment,Black,Soft\n" for i in ITEMS)
    )
    with zipfile.ZipFile(folder / "transactions_train.csv.zip", "w") as archive:
        bought = "".join(f"2018-09-{day},u1,{i},0.05,2\n" for day, i in zip((23, 22, 21, 20), ITEMS, strict=False))
        archive.writestr("transactions_train.csv", "t_dat,customer_id,article_id,price,sales_channel_id\n" + bought)


def official_bilibili(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "MicroLens-50k_titles.csv").write_text("item,title\n" + "".join(f"{i},Title {i}\n" for i in ITEMS))
    taken = "".join(f"u1,{i},{1583378629000 - 1000 * row}\n" for row, i in enumerate(ITEMS))
    (folder / "MicroLens-50k_pairs.csv").write_text("user,item,timestamp\n" + taken)


def official_movielens(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "movies.dat").write_bytes("".join(f"{i}::Title {i}::Drama\n" for i in ITEMS).encode("latin-1"))
    rated = "".join(f"u1::{i}::5::{978300760 - row}\n" for row, i in enumerate(ITEMS))
    (folder / "ratings.dat").write_text(rated)


def research(folder: Path, header: str, table: str) -> None:
    folder.mkdir(parents=True)
    lines = "".join(f"{i}\t{'' if ' ' in i else f'Title {i}'}\n" for i in ITEMS)
    (folder / table).write_text(f"{header}\n{lines}")
    (folder / "behaviors.tsv").write_text("userid\tbehaviors\nempty\t\nu1\t7 0108775015 Ü5 lost 7\nshort\t7\n")


def prepared(root: Path, source: str, **options: object) -> tuple[Dataset, list[str]]:
    config = PrepareConfig.from_flat({"root": root, "min_item_seq_len": 3, **options})
    notes = Notes()
    prepare(source, config, notes)
    return open_dataset(config.workspace.open()), notes.lines


def test_what_is_known():
    assert KNOWN[:6] == ("demo", "MIND_small", "MIND_large", "hm", "bilibili", "ml-100k")


@pytest.mark.parametrize(
    ("name", "write", "history", "files"),
    [
        # The dev file's click on Ü5 follows the train file's, which no history holds.
        ("MIND_small", official_mind, ["0108775015", "7", "Ü5", "Ü5"], 4),
        ("hm", official_hm, ["no text", "7", "0110065001", "0108775015"], 2),
        ("bilibili", official_bilibili, ["Ü5", "no text", "7", "0110065001", "0108775015"], 2),
        ("ml-1m", official_movielens, ["Ü5", "no text", "7", "0110065001", "0108775015"], 2),
    ],
)
def test_official_files(tmp_path: Path, name: str, write: Write, history: list[str], files: int):
    write(tmp_path / "raw" / name)
    dataset, said = prepared(tmp_path, name)
    assert list(histories(dataset).values()) == [history]
    assert said[0].startswith("Reading ")
    assert said[0].count(str(tmp_path)) == files
    assert dataset.manifest["time_unit"] == "seconds since 1970-01-01 UTC"
    # The research layout beside them changes nothing.
    research(tmp_path / "raw" / name / "prepared", "videoid\tdescription", "videos.tsv")
    assert prepared(tmp_path, name)[0].fingerprint == dataset.fingerprint


@pytest.mark.parametrize("place", ["raw", "old_data"])
@pytest.mark.parametrize(
    ("name", "header", "table"),
    [
        ("MIND_small", "newsid\ttitle", "news.tsv"),
        ("MIND_large", "newsid\ttitle", "news.tsv"),
        ("hm", "itemid\tdescription", "items.tsv"),
        ("bilibili", "videoid\tdescription", "videos.tsv"),
    ],
)
def test_research_layout(tmp_path: Path, place: str, name: str, header: str, table: str):
    folder = tmp_path / place / name
    research(folder, header, table)
    dataset, said = prepared(tmp_path, name)
    assert histories(dataset) == {"u1": ["7", "0108775015", "Ü5", "7"]}
    assert dataset.item_ids() == ["0108775015", "0110065001", "7", "Ü5"]
    assert said[0] == f"Reading {folder / table} and {folder / 'behaviors.tsv'}."
    assert dataset.manifest["has_times"] is False
    dropped = {(tally["what"], tally["why"]): tally["count"] for tally in dataset.manifest["dropped"]}
    assert dropped["users", "their history is empty"] == 1
    assert dropped["interactions", "their item is not in the item table"] == 1
    assert dropped["items", "they have no text"] == 1


def test_a_damaged_zip_beside_what_is_needed_is_told(tmp_path: Path):
    official_hm(tmp_path / "raw" / "hm")
    (tmp_path / "raw" / "hm" / "articles.csv.zip").write_bytes(b"PK")
    dataset, said = prepared(tmp_path, "hm", name="mine")
    assert (dataset.name, dataset.n_users) == ("mine", 1)
    assert said[0] == f"warning: {tmp_path / 'raw' / 'hm' / 'articles.csv.zip'} is damaged, or no zip; it is left out."


@pytest.mark.parametrize(
    ("name", "files", "owner"),
    [
        ("MIND_small", "folder or zip MINDsmall_train with news.tsv and behaviors.tsv", "https://msnews.github.io"),
        ("MIND_large", "folder or zip MINDlarge_train with news.tsv and behaviors.tsv", "https://msnews.github.io"),
        (
            "hm",
            "articles.csv and no transactions_train.csv",
            "https://www.kaggle.com/competitions/h-and-m-personalized-fashion-recommendations/data",
        ),
        ("bilibili", "table of items such as MicroLens-50k_titles.csv", "https://github.com/westlake-repl/NineRec"),
        ("ml-1m", "movies.dat and no ratings.dat", "https://grouplens.org/datasets/movielens/"),
        ("bilibili", "table of pairs such as MicroLens-50k_pairs.csv", "https://github.com/westlake-repl/MicroLens"),
    ],
)
def test_missing_files_are_named(tmp_path: Path, name: str, files: str, owner: str):
    with pytest.raises(UserError) as caught:
        prepared(tmp_path, name)
    assert f"no {files}" in caught.value.message
    for place in ("raw", "old_data"):
        assert str(tmp_path / place / name) in caught.value.message
    assert owner in caught.value.remedy
    assert "\n" not in caught.value.message + caught.value.remedy


def test_tables_of_ones_own_come_before_what_a_name_means(tmp_path: Path):
    folder = tmp_path / "mine"
    official_bilibili(folder)
    tables = {"items": folder / "MicroLens-50k_titles.csv", "interactions": folder / "MicroLens-50k_pairs.csv"}
    dataset, said = prepared(tmp_path / "data", "hm", **tables)
    assert dataset.item_ids() == list(ITEMS)
    assert said[0] == f"Reading {tables['items']} and {tables['interactions']}."
