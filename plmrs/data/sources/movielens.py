"""MovieLens as GroupLens offers it: films with their title, and who rated one when.

The older files are no csv: `movies.dat` has two colons between its columns, `u.item` a bar, and none has a header.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from plmrs.config import RawOptions
from plmrs.data.sources import table
from plmrs.data.sources.damage import readable
from plmrs.data.sources.places import nearest, not_found, table_name
from plmrs.data.sources.raw import RawFile
from plmrs.data.sources.source import Source
from plmrs.errors import UserError

OWNER = "https://grouplens.org/datasets/movielens/"
OLDEST, OLD, NEW = ("u.item", "u.data"), ("movies.dat", "ratings.dat"), ("movies.csv", "ratings.csv")
RELEASES = {"ml-100k": OLDEST, "ml-1m": OLD, "ml-10m": OLD}
RELEASES |= dict.fromkeys(("ml-20m", "ml-25m", "ml-32m", "ml-latest", "ml-latest-small"), NEW)
"""The names of the data sets, and what each calls its films and its ratings."""
RATING = ("user_id", "item_id", "rating", "timestamp")
GENRES = tuple(f"genre_{number}" for number in range(19))
COLUMNS = {
    "u.item": ("|", ("item_id", "title", "released", "video", "url", *GENRES)),
    "u.data": ("\t", RATING),
    "movies.dat": ("::", ("item_id", "title", "genres")),
    "ratings.dat": ("::", RATING),
}
"""What stands between the columns of files without a header, and what these hold."""
RULE = "Every rating is an interaction, whatever its stars."


def find(places: Sequence[Path]) -> tuple[RawFile, RawFile] | None:
    """The films and the ratings of a release, the nearest of each; None unless both are there."""
    for names in (OLD, NEW, OLDEST):
        films, ratings = nearest(places, names)
        if films and ratings:
            return films, ratings
    return None


def missing(name: str, places: Sequence[Path]) -> UserError:
    """The error when a file is not there."""
    wanted = RELEASES[name]
    lacking = [each for each, file in zip(wanted, nearest(places, wanted), strict=True) if file is None]
    return not_found(" and no ".join(lacking), name, places, OWNER)


def read(films: RawFile, ratings: RawFile, options: RawOptions) -> Source:
    """Read the films and the ratings.

    Args:
        films: The table of films.
        ratings: Who rated what, and when.
        options: Other columns or another text, where they name any.

    Raises:
        UserError: a file is damaged, or a column is missing.
    """
    source = table.read(_described(films, _encoding(films)), _described(ratings), options)
    return replace(source, rules=(*source.rules, RULE))


def _described(file: RawFile, encoding: str = "utf-8") -> RawFile:
    """A file with what its name tells of its columns; one with a header is left as it is."""
    if table_name(file) not in COLUMNS:
        return file
    separator, header = COLUMNS[table_name(file)]
    return replace(file, separator=separator, header=header, encoding=encoding)


def _encoding(films: RawFile) -> str:
    """UTF-8 where it can be, as in 10M, else Latin-1, as in 1M and 100K."""
    with readable(films):
        content = films.open().read()
    try:
        content.decode()
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"
