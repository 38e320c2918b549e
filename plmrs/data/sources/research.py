"""The layout that research code prepares: `behaviors.tsv` with a user's items in a row, and a table of items.

Both have a header: `userid, behaviors`, the ids joined by spaces, oldest first; and `newsid, title` in `news.tsv`,
`itemid, description` in `items.tsv`, or `videoid, description` in `videos.tsv`.
"""

from collections.abc import Sequence
from pathlib import Path

from plmrs.config import RawOptions
from plmrs.data.sources import sequences
from plmrs.data.sources.columns import item_columns
from plmrs.data.sources.files import column_names
from plmrs.data.sources.places import folder_of, not_found, raw_files, table_name
from plmrs.data.sources.raw import RawFile
from plmrs.data.sources.source import ROWS, Source, Tally, measured
from plmrs.data.sources.table import ITEM_RULES, read_items
from plmrs.errors import UserError

BEHAVIORS = "behaviors.tsv"
TABLES = {"MIND_small": "news.tsv", "MIND_large": "news.tsv", "hm": "items.tsv", "bilibili": "videos.tsv"}
"""The data sets prepared so, and the table of items that each is known to have; another one's will do."""


def find(name: str, places: Sequence[Path], owner: str) -> tuple[RawFile, RawFile] | None:
    """The table of items and the behaviours of one of `TABLES`, the nearest; None when neither is there.

    Args:
        name: The data set.
        places: Where they are looked for.
        owner: Where the data's owner offers it.

    Raises:
        UserError: one of both is missing.
    """
    files = raw_files(places)
    behaviors = next((file for file in files if table_name(file) == BEHAVIORS), None)
    known = list(dict.fromkeys((TABLES[name], *TABLES.values())))
    items = [file for each in known for file in files if table_name(file) == each]
    if behaviors is None and not items:
        return None
    if behaviors is None:
        raise not_found(f"{BEHAVIORS} to go with {items[0]}", name, places, owner)
    if not items:
        raise not_found(f"{TABLES[name]} to go with {behaviors}", name, places, owner)
    beside = [file for file in items if folder_of(file) == folder_of(behaviors)]
    return (beside or items)[0], behaviors


def read(items: RawFile, behaviors: RawFile, options: RawOptions) -> Source:
    """Read the prepared files.

    Args:
        items: The table of items.
        behaviors: Users and their items.
        options: The columns of the items' table, where they name any; by default the text is its title or description.

    Raises:
        UserError: a file has another header, is damaged or not UTF-8.
    """
    user, history = _columns(behaviors)
    item, words, category = item_columns(items, options)
    files = measured(list(dict.fromkeys([*items.paths, *behaviors.paths])))
    catalogue, nameless, repeated = read_items(items, item, words, category)
    interactions, read_too, dropped = sequences.read_sequences(behaviors, user, history)
    effective = {
        "item": item,
        "texts": list(words.fields),
        "between_texts": list(words.between),
        "category": category,
        "user": user,
        "taken": history,
    }
    return Source(
        catalogue,
        interactions,
        ROWS,
        files=files(),
        read=(Tally("items", catalogue.num_rows + nameless + repeated, items.name), *read_too),
        dropped=(
            Tally("items", nameless, "they have no id"),
            Tally("items", repeated, "their id stands in an earlier row, whose text is kept"),
            *dropped,
        ),
        rules=(*ITEM_RULES, sequences.RULE),
        options={"columns": effective},
    )


def _columns(behaviors: RawFile) -> tuple[str, str]:
    """The columns of user ids and of histories."""
    names = column_names(behaviors)
    plain = [name.replace("_", "").strip().lower() for name in names]
    if plain != ["userid", "behaviors"]:
        raise UserError(
            f"{behaviors} does not begin with the header userid, behaviors, but with {names[0]!r}.",
            "Write that header as its first line. Official files belong into the folder or zip they came in.",
        )
    return names[0], names[1]
