"""The official H&M files, as Kaggle offers them: `articles.csv` and `transactions_train.csv`."""

from collections.abc import Sequence
from pathlib import Path

from plmrs.config import RawOptions
from plmrs.data.sources import table
from plmrs.data.sources.places import nearest, not_found
from plmrs.data.sources.raw import RawFile
from plmrs.data.sources.source import Source
from plmrs.errors import UserError

TABLES = ("articles.csv", "transactions_train.csv")
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
    articles, transactions = nearest(places, TABLES)
    return (articles, transactions) if articles and transactions else None


def missing(name: str, places: Sequence[Path]) -> UserError:
    """The error when a file is not there."""
    lacking = [table for table, file in zip(TABLES, nearest(places, TABLES), strict=True) if file is None]
    return not_found(" and no ".join(lacking), name, places, OWNER)


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
