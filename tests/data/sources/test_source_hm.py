import gzip
from pathlib import Path

import pytest
from interactions import rows
from raw_files import complaint, zip_of

from plmrs.config import RawOptions
from plmrs.data.sources import hm
from plmrs.data.sources.source import Source
from plmrs.errors import UserError

# Names with commas and quotes, a description over two lines, an article without one, an article that stands twice.
ARTICLES = """\
article_id,product_code,prod_name,product_type_name,product_group_name,colour_group_name,detail_desc
0108775015,0108775,Strap top,Vest top,Garment Upper body,Black,Jersey top with narrow shoulder straps.
0108775044,0108775,"Strap top, (1)",Vest top,Garment Upper body,White,"Said ""soft"".
Washable."
0110065001,0110065,Överdel,Bra,Underwear,Blå,
108775015,0108775,No zero,Vest top,Unknown,Black,Another article.
0108775015,0108775,Second text,Vest top,Garment Upper body,Black,Left out.
"""
TRANSACTIONS = """\
t_dat,customer_id,article_id,price,sales_channel_id
2018-09-20,000058a12d,0110065001,0.0508,2
2018-09-20,00007d2de8,0108775015,0.0304,1
2018-09-19,000058a12d,0108775015,0.0304,2
2018-09-21,000058a12d,0999999999,0.0152,2
"""
DAY = 86_400
SEPTEMBER_20 = 17_794 * DAY  # 2018-09-20 is day 17,794 since 1970
TAKEN = [
    ("000058a12d", "0110065001", SEPTEMBER_20),
    ("00007d2de8", "0108775015", SEPTEMBER_20),
    ("000058a12d", "0108775015", SEPTEMBER_20 - DAY),
    ("000058a12d", "0999999999", SEPTEMBER_20 + DAY),
]


def write(folder: Path, articles: str = ARTICLES, transactions: str = TRANSACTIONS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "articles.csv").write_bytes(articles.encode())
    (folder / "transactions_train.csv").write_bytes(transactions.encode())


def read(*places: Path, **options: object) -> Source:
    found = hm.find(places)
    assert found is not None
    return hm.read(*found, RawOptions(**options))


def test_the_official_files(tmp_path: Path):
    write(tmp_path)
    source = read(tmp_path)
    assert source.items.to_pydict() == {
        "item_id": ["0108775015", "0108775044", "0110065001", "108775015"],
        "text": [
            "Strap top, Vest top, Black. Jersey top with narrow shoulder straps.",
            'Strap top, (1), Vest top, White. Said "soft". Washable.',
            "Överdel, Bra, Blå.",
            "No zero, Vest top, Black. Another article.",
        ],
        "category": ["Garment Upper body", "Garment Upper body", "Underwear", "Unknown"],
    }
    assert rows(source.interactions) == TAKEN
    assert source.time_unit == "seconds since 1970-01-01 UTC"
    assert [(tally.what, tally.count) for tally in source.read] == [("items", 5), ("interactions", 4)]
    assert [tally.count for tally in source.dropped] == [0, 1, 0]


def test_line_ends_and_byte_order_marks(tmp_path: Path):
    write(tmp_path / "plain")
    write(tmp_path / "other", *("\ufeff" + text.replace("\n", "\r\n") for text in (ARTICLES, TRANSACTIONS)))
    plain, other = read(tmp_path / "plain"), read(tmp_path / "other")
    assert other.items.equals(plain.items)
    assert rows(other.interactions) == TAKEN


def test_text_and_columns_as_asked(tmp_path: Path):
    write(tmp_path)
    fields = read(tmp_path, text_fields=("prod_name", "colour_group_name"), category_column="product_type_name")
    assert fields.items.column("text").to_pylist()[0] == "Strap top Black"
    assert fields.items.column("category").to_pylist()[2] == "Bra"
    template = read(tmp_path, text_template="{prod_name} ({article_id})", item_column="article_id")
    assert template.items.column("text").to_pylist()[0] == "Strap top (0108775015)"
    with pytest.raises(UserError, match="no column desc for texts") as caught:
        read(tmp_path, text_fields=("desc",))
    assert "--text-fields" in caught.value.remedy
    with pytest.raises(UserError, match="no column when for times"):
        read(tmp_path, time_column="when")


@pytest.mark.parametrize("how", ["kaggle", "singly", "below", "gzip", "capitals"])
def test_where_the_files_may_lie(tmp_path: Path, how: str):
    if how == "kaggle":
        zip_of(
            tmp_path / "h-and-m-personalized-fashion-recommendations.zip",
            {
                "images/010/0108775015.csv": "not ours",
                "articles.csv": ARTICLES,
                "transactions_train.csv": TRANSACTIONS,
            },
        )
    elif how == "singly":
        zip_of(tmp_path / "articles.csv.zip", {"articles.csv": ARTICLES})
        zip_of(tmp_path / "transactions_train.csv.zip", {"transactions_train.csv": TRANSACTIONS})
    elif how == "below":
        write(tmp_path / "kaggle" / "input")
    elif how == "gzip":
        (tmp_path / "articles.csv.gz").write_bytes(gzip.compress(ARTICLES.encode()))
        zip_of(tmp_path / "some" / "where" / "transactions.zip", {"deep/deeper/transactions_train.csv": TRANSACTIONS})
    else:
        write(tmp_path)
        (tmp_path / "articles.csv").rename(tmp_path / "Articles.CSV")
    source = read(tmp_path)
    assert source.items.column("item_id").to_pylist()[:2] == ["0108775015", "0108775044"]
    assert rows(source.interactions) == TAKEN
    # A file that holds both tables is hashed once.
    assert len(source.files) == (1 if how == "kaggle" else 2)
    assert all(len(file.sha256) == 64 for file in source.files)


def test_what_is_missing_is_named(tmp_path: Path):
    places = [tmp_path / "raw" / "hm", tmp_path / "old_data" / "hm"]
    assert hm.find(places) is None
    assert "no articles.csv and no transactions_train.csv in " in hm.missing("hm", places).message
    write(places[1])
    (places[1] / "articles.csv").unlink()
    assert hm.find(places) is None
    error = hm.missing("hm", places)
    assert error.message == (
        f"hm: there is no articles.csv in {places[0]} and {places[1]}, nor two levels below or in a zip there."
    )
    assert "https://www.kaggle.com/competitions/h-and-m-personalized-fashion-recommendations/data" in error.remedy
    # One file in each of the places is enough.
    write(places[0])
    (places[0] / "transactions_train.csv").unlink()
    assert rows(read(*places).interactions) == TAKEN


@pytest.mark.parametrize(
    ("articles", "transactions", "said"),
    [
        (ARTICLES, TRANSACTIONS + "2018-09-22,0000", "transactions_train.csv cannot be read: "),
        (ARTICLES, TRANSACTIONS.replace("2018-09-19", "19/09/2018"), "19/09/2018, in row 4 of column t_dat"),
        (ARTICLES, TRANSACTIONS.partition("\n")[2], "has no column article_id for item ids; it has 2018-09-20, "),
        (ARTICLES.replace("colour_group_name", "color"), TRANSACTIONS, "no column colour_group_name for texts"),
        (ARTICLES + "0110065002,0110065,Cut", TRANSACTIONS, "articles.csv cannot be read: CSV parse error: Row #7"),
        (ARTICLES + '0110065002,1,A,B,C,D,"Cut', TRANSACTIONS, "articles.csv has a quote that is never closed"),
        ("", TRANSACTIONS, "articles.csv is empty"),
    ],
)  # fmt: skip
def test_damage_is_one_line(tmp_path: Path, articles: str, transactions: str, said: str):
    write(tmp_path, articles, transactions)
    assert said in complaint(lambda: read(tmp_path))
