"""Which columns are read, for tables as the data sets that people have write them."""

import json
from pathlib import Path

import pytest

from plmrs.config import RawOptions
from plmrs.data.sources import table
from plmrs.data.sources.columns import Columns, find_columns
from plmrs.data.sources.raw import raw_file
from plmrs.data.sources.source import Source
from plmrs.errors import UserError


def write(folder: Path, name: str, content: str | list[dict]) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content))
    return path


def found(folder: Path, items: str, taken: str, **options: object) -> tuple[object, ...]:
    """The columns found below two headers: item, texts, category; item, user, time."""
    columns: Columns = find_columns(
        raw_file(write(folder, "items.csv", items + "\n")),
        raw_file(write(folder, "taken.csv", taken + "\n")),
        RawOptions(**options),
    )
    category, time = columns.category, columns.time
    return (columns.item, columns.words.fields, category), (columns.taken, columns.user, time)


HEADERS = {
    "MovieLens": (
        "movieId,title,genres",
        "userId,movieId,rating,timestamp",
        ("movieId", ("title",), None),
        ("movieId", "userId", "timestamp"),
    ),
    "RecBole": (
        "item_id:token,movie_title:token_seq,release_year:token,class:token_seq",
        "user_id:token,item_id:token,rating:float,timestamp:float",
        ("item_id:token", ("movie_title:token_seq",), None),
        ("item_id:token", "user_id:token", "timestamp:float"),
    ),
    "H&M": (
        "article_id,product_code,prod_name,product_type_name,detail_desc",
        "t_dat,customer_id,article_id,price,sales_channel_id",
        ("article_id", ("prod_name",), None),
        ("article_id", "customer_id", "t_dat"),
    ),
    "MicroLens": ("item,title", "user,item,timestamp", ("item", ("title",), None), ("item", "user", "timestamp")),
    "Amazon 2018": (
        "category,tech1,description,title,also_buy,brand,rank,main_cat,date,price,asin",
        "overall,verified,reviewTime,reviewerID,asin,reviewerName,reviewText,summary,unixReviewTime",
        ("asin", ("title",), "category"),
        ("asin", "reviewerID", "unixReviewTime"),
    ),
    "Amazon 2023": (
        "main_category,title,average_rating,features,description,store,categories,parent_asin",
        "rating,title,text,images,asin,parent_asin,user_id,timestamp,helpful_vote",
        ("parent_asin", ("title",), "main_category"),
        ("parent_asin", "user_id", "timestamp"),
    ),
    "goodbooks": (
        "item_id,id,title,name",
        "user_id,item_id",
        ("item_id", ("title",), None),
        ("item_id", "user_id", None),
    ),
    "ids that are called id": ("id,name", "user,item,date", ("id", ("name",), None), ("item", "user", "date")),
    "capitals and spaces": (
        "Item_ID, Title ,CATEGORY",
        "USER ID,USER_ID,ITEMID,Time",
        ("Item_ID", (" Title ",), "CATEGORY"),
        ("ITEMID", "USER_ID", "Time"),
    ),
}


@pytest.mark.parametrize("of", HEADERS)
def test_guesses(tmp_path: Path, of: str) -> None:
    items, taken, *expected = HEADERS[of]
    assert found(tmp_path, items, taken) == tuple(expected)


def test_named_columns_win(tmp_path: Path) -> None:
    items = "item_id,sku,text,blurb,category,kind"
    taken = "user_id,who,item_id,sku,timestamp,when"
    assert found(tmp_path, items, taken) == (
        ("item_id", ("text",), "category"),
        ("item_id", "user_id", "timestamp"),
    )
    named = {
        "item_column": "sku", "user_column": "who", "time_column": "when", "category_column": "kind",
        "text_fields": "blurb,text",
    }  # fmt: skip
    assert found(tmp_path, items, taken, **named) == (("sku", ("blurb", "text"), "kind"), ("sku", "who", "when"))


def test_named_columns_may_be_spelt_otherwise_but_their_own_spelling_wins(tmp_path: Path) -> None:
    items, taken = "item_id:token,movie_title:token_seq,Movie_Title", "userId,item_id,USER_ID"
    options = {"text_template": "{movie_title} ({Movie_Title})", "user_column": "USER_ID"}
    assert found(tmp_path, items, taken, **options) == (
        ("item_id:token", ("movie_title:token_seq", "Movie_Title"), None),
        ("item_id", "USER_ID", None),
    )
    assert found(tmp_path, items, taken, text_fields=("movie_title",), user_column="user_id")[1][1] == "userId"


def test_what_both_tables_have_is_the_item(tmp_path: Path) -> None:
    # The reviews have both ids, the items of one file only the one, of the other only the other.
    taken = "user_id,asin,parent_asin"
    assert found(tmp_path, "asin,title", taken)[1][0] == "asin"
    assert found(tmp_path, "parent_asin,title", taken)[1][0] == "parent_asin"
    assert found(tmp_path, "movie_id,item,title", "user,movie_id") == (
        ("movie_id", ("title",), None),
        ("movie_id", "user", None),
    )


def test_a_text_of_ones_own_needs_no_guess(tmp_path: Path) -> None:
    assert found(tmp_path, "item,headline", "user,item", text_fields=("headline",))[0][1] == ("headline",)
    assert found(tmp_path, "item,headline", "user,item", text_template="A {headline}")[0][1] == ("headline",)


@pytest.mark.parametrize(
    ("items", "taken", "options", "said", "remedy"),
    [
        ("sku,title", "user,item", {}, "items.csv has no column item_id or item or", "with --item-column."),
        ("item,title", "user,sku", {}, "taken.csv has no column item_id or item or", "with --item-column."),
        ("item,title", "who,item", {}, "taken.csv has no column user_id or user or", "with --user-column."),
        ("item,headline", "user,item", {}, "no column text or title or", "Name the column with --text-fields."),
        ("item,titel", "user,item", {}, "for texts; it has item, titel.", "Did you mean titel? Name the column"),
        ("item,title", "usr_id,item", {}, "for user ids; it has usr_id, item.", "Did you mean usr_id? Name the"),
        ("item,title", "user,item", {"item_column": "itm"}, "no column itm for item ids", "Did you mean item?"),
        ("item,title", "user,item", {"user_column": "usr"}, "taken.csv has no column usr", "Did you mean user?"),
        ("item,title", "user,item,time", {"time_column": "tme"}, "no column tme for times", "Did you mean time?"),
        ("item,title", "user,item", {"time_column": "when"}, "it has user, item.", "Name the column with --time-"),
        ("item,title", "user,item", {"category_column": "kind"}, "no column kind for cat", "with --category-column."),
        ("item,title", "user,item", {"text_fields": "title,abstract"}, "no column abstract", "with --text-fields."),
        ("item,title", "user,item", {"text_template": "{titel}"}, "no column titel", "title? Name the column with "
         "--text-template."),
        ("item,title,title", "user,item", {}, "items.csv has 2 columns title.", "Rename all but one"),
        ("item,item,title", "user,item", {}, "items.csv has 2 columns item.", "Rename all but one"),
        ("item,title", "user,item,time,time", {}, "taken.csv has 2 columns time.", "Rename all but one"),
        ("item,title,category,category", "user,item", {}, "has 2 columns category.", "Rename all but one"),
    ],
)  # fmt: skip
def test_errors(tmp_path: Path, items: str, taken: str, options: dict, said: str, remedy: str) -> None:
    with pytest.raises(UserError) as caught:
        found(tmp_path, items, taken, **options)
    assert said in caught.value.message
    assert remedy in caught.value.remedy


def read(items: Path, taken: Path, **options: object) -> tuple[dict, list[tuple]]:
    """The items' texts and categories, and who took what when."""
    source: Source = table.read(raw_file(items), raw_file(taken), RawOptions(**options))
    log = source.interactions
    users, ids = log.user_ids.to_pylist(), log.item_ids.to_pylist()
    rows = zip(log.users, log.items, log.times, strict=True)
    columns = zip(*(column.to_pylist() for column in source.items.columns), strict=True)
    return {row[0]: row[1:] for row in columns}, [(users[u], ids[i], int(time)) for u, i, time in rows]


def test_amazon_2014(tmp_path: Path) -> None:
    items = [{"asin": "0001", "title": "A <b>", "categories": [["Books"]]}, {"asin": "B0", "description": "No title"}]
    taken = [
        {"reviewerID": "A1", "asin": "0001", "helpful": [0, 1], "reviewText": "!", "unixReviewTime": 1252800000},
        {"reviewerID": "A2", "asin": "B0", "reviewTime": "09 13, 2009", "unixReviewTime": 1252713600},
    ]
    found = read(write(tmp_path, "meta.json", items), write(tmp_path, "reviews.json", taken))
    assert found == ({"0001": ("A <b>",), "B0": ("",)}, [("A1", "0001", 1252800000), ("A2", "B0", 1252713600)])


def test_amazon_2023(tmp_path: Path) -> None:
    items = [
        {"main_category": "Books", "title": "One", "features": [], "parent_asin": "P1", "details": {"x": 1}},
        {"main_category": None, "title": "Two", "features": ["Soft.", "Large."], "parent_asin": "P2", "details": {}},
    ]
    taken = [
        {"rating": 5.0, "title": "x", "asin": "V1", "parent_asin": "P1", "user_id": "U", "timestamp": 1677873364123},
        {"rating": 1.0, "title": "y", "asin": "V2", "parent_asin": "P2", "user_id": "U", "timestamp": 1677873364999},
    ]
    paths = write(tmp_path, "meta.jsonl", items), write(tmp_path, "reviews.jsonl", taken)
    log = [("U", "P1", 1677873364), ("U", "P2", 1677873364)]
    assert read(*paths) == ({"P1": ("One", "Books"), "P2": ("Two", "")}, log)
    assert read(*paths, text_fields="title,features")[0]["P2"] == ("Two Soft. Large.", "")


def test_recbole(tmp_path: Path) -> None:
    items = (
        "item_id:token\tmovie_title:token_seq\tclass:token_seq\n1\tToy Story\tAnimation Children's\n02\tGoldenEye\tA\n"
    )
    taken = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t02\t3.0\t881250949.0\n7\t1\t5\t8.75e8\n"
    paths = write(tmp_path, "ml.item", items), write(tmp_path, "ml.inter", taken)
    log = [("196", "02", 881250949), ("7", "1", 875000000)]
    assert read(*paths) == ({"1": ("Toy Story",), "02": ("GoldenEye",)}, log)
    assert read(*paths, text_template="{movie_title} ({class})")[0]["1"] == ("Toy Story (Animation Children's)",)


def test_hm(tmp_path: Path) -> None:
    items = (
        'article_id,prod_name,detail_desc\n0108775015,Strap top,"Jersey top, narrow straps."\n0110065001,OP T-shirt,\n'
    )
    taken = (
        "t_dat,customer_id,article_id,price\n2018-09-20,000058a1,0110065001,0.05\n2018-09-19,000058a1,0108775015,1\n"
    )
    paths = write(tmp_path, "articles.csv", items), write(tmp_path, "transactions_train.csv", taken)
    assert read(*paths, text_template="{prod_name}. {detail_desc}") == (
        {"0108775015": ("Strap top. Jersey top, narrow straps.",), "0110065001": ("OP T-shirt.",)},
        [("000058a1", "0110065001", 1537401600), ("000058a1", "0108775015", 1537315200)],
    )
