"""The official H&M files, as Kaggle offers them: `articles.csv` and `transactions_train.csv`."""

from collections.abc import Sequence
from pathlib import Path

from plmrs.config import RawOptions
from plmrs.data.sources import table
from plmrs.data.sources.places import not_found, raw_files, table_name
from plmrs.data.sources.raw import RawFile
from plmrs.data.sources.source import Source
from plmrs.errors import UserError

ARTICLES, TRANSACTIONS = "articles.csv", "transactions_train.csv"
OWNER = "https://www.kaggle.com/competitions/h-and-m-personalized-fashion-recommendations/data"
TEMPLATE = "{prod_name}, {product_type_name}, {colour_group_name}. {detail_desc}"
"""The text of an article, unless options ask for another."""
COLUMNS = {
    "item_column": "article_id",
    "user_column": "customer_id",
    "time_column": "t_dat",
    "category_column": "product_group_name",
}


def find(places: Sequence[Path]) -> tuple[RawFile, RawFile] | None:
    """The articles and the transactions, the nearest of each; None unless both are there."""
    articles, transactions = _nearest(places)
    return (articles, transactions) if articles and transactions else None


def missing(places: Sequence[Path]) -> UserError:
    """The error when a file is not there."""
    lacking = [name for name, file in zip((ARTICLES, TRANSACTIONS), _nearest(places), strict=True) if file is None]
    return not_found(" and no ".join(lacking), "hm", places, OWNER)


def read(articles: RawFile, transactions: RawFile, options: RawOptions) -> Source:
    """Read the official files.

    Args:
        articles: The articles' table.
        transactions: Who bought what, and on which day.
        options: Other columns or another text, where they name any.

    Raises:
        UserError: a file is damaged or not UTF-8, a column is missing, or a day is no date.
    """
    preset = {name: column for name, column in COLUMNS.items() if getattr(options, name) is None}
    if not (options.text_fields or options.text_template):
        preset["text_template"] = TEMPLATE
    return table.read(articles, transactions, options.model_copy(update=preset))


def _nearest(places: Sequence[Path]) -> list[RawFile | None]:
    files = raw_files(places)
    return [next((file for file in files if table_name(file) == name), None) for name in (ARTICLES, TRANSACTIONS)]
