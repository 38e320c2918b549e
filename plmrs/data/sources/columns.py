"""Which columns of two tables hold ids, times, texts and categories: those named by option, else sound guesses.

A guess is a name as MovieLens, Amazon reviews, RecBole's atomic files, H&M and others write it; case, underscores and
RecBole's `:type` do not matter.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from plmrs.config import RawOptions
from plmrs.data.sources.files import column_names
from plmrs.data.sources.raw import RawFile
from plmrs.data.sources.texts import Wording, wording
from plmrs.errors import UserError

ITEMS = (
    "item_id", "item", "movie_id", "parent_asin", "asin", "news_id", "article_id", "video_id", "book_id", "product_id",
)  # fmt: skip
USERS = ("user_id", "user", "reviewer_id", "customer_id")
TIMES = ("timestamp", "time", "unix_review_time", "datetime", "date", "t_dat")
TEXTS = ("text", "title", "movie_title", "name", "prod_name", "description")
CATEGORIES = ("category", "main_category")


@dataclass(frozen=True)
class Columns:
    """The columns found in a table of items and a table of interactions.

    Attributes:
        item: Of item ids, in the items.
        words: The text's, in the items.
        category: Of the item's category, in the items; None without one.
        taken: Of item ids, in the interactions.
        user: Of user ids, in the interactions.
        time: Of times, in the interactions; None without one.
    """

    item: str
    words: Wording
    category: str | None
    taken: str
    user: str
    time: str | None


def find_columns(items: RawFile, interactions: RawFile, options: RawOptions) -> Columns:
    """Which columns to read of the two tables.

    Raises:
        UserError: one cannot be found, or its name stands twice.
    """
    names, taken_names = column_names(items), column_names(interactions)
    # One that both tables have is the likeliest: Amazon's reviews have `asin` beside the `parent_asin` of the items.
    shared = [guess for guess in ITEMS if _find(guess, names) and _find(guess, taken_names)]
    guesses = (*shared, *ITEMS)
    item, words, category = item_columns(items, options, guesses)
    taken = _column(interactions, taken_names, options.item_column, guesses, "item ids", "--item-column")
    user = _column(interactions, taken_names, options.user_column, USERS, "user ids", "--user-column")
    time = options.time_column or next((found for guess in TIMES if (found := _find(guess, taken_names))), None)
    if time is not None:
        time = _column(interactions, taken_names, time, (), "times", "--time-column")
    return Columns(item, words, category, taken, user, time)


def item_columns(
    items: RawFile, options: RawOptions, guesses: Sequence[str] = ITEMS
) -> tuple[str, Wording, str | None]:
    """Which columns of a table of items hold ids, the text, and the category, if any.

    Raises:
        UserError: one cannot be found, or its name stands twice.
    """
    names = column_names(items)
    item = _column(items, names, options.item_column, (*guesses, "id"), "item ids", "--item-column")
    default = next((found for guess in TEXTS if (found := _find(guess, names)) is not None), None)
    if default is None and not (options.text_fields or options.text_template):
        raise _missing(items, names, " or ".join(TEXTS), "texts", "--text-fields")
    flag = "--text-template" if options.text_template else "--text-fields"
    words = wording(options, (default or "",))
    fields = tuple(_column(items, names, field, (), "texts", flag) for field in words.fields)
    category = options.category_column or next((f for guess in CATEGORIES if (f := _find(guess, names))), None)
    if category is not None:
        category = _column(items, names, category, (), "categories", "--category-column")
    return item, Wording(fields, words.between), category


def _column(
    file: RawFile, names: Sequence[str], asked: str | None, guesses: Iterable[str], what: str, flag: str
) -> str:
    """The name of a column: the one asked for, else the first guess that is there."""
    if asked is not None:
        found = asked if asked in names else _find(asked, names)
    else:
        found = next((name for guess in guesses if (name := _find(guess, names)) is not None), None)
    if found is None:
        raise _missing(file, names, asked or " or ".join(dict.fromkeys(guesses)), what, flag)
    if names.count(found) > 1:
        raise UserError(f"{file} has {names.count(found)} columns {found}.", "Rename all but one of them.")
    return found


def _find(guess: str, names: Sequence[str]) -> str | None:
    """The column that is called so, in whatever spelling."""
    return next((name for name in names if _plain(name) == _plain(guess)), None)


def _plain(name: str) -> str:
    return name.partition(":")[0].replace("_", "").strip().lower()


def _missing(file: RawFile, names: Sequence[str], missing: str, what: str, flag: str) -> UserError:
    near = [name for each in missing.split(" or ") for name in get_close_matches(each, names, 1, 0.7)]
    return UserError(
        f"{file} has no column {missing} for {what}; it has {', '.join(names)}.",
        (f"Did you mean {near[0]}? " if near else "") + f"Name the column with {flag}.",
    )
