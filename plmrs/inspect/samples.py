"""A few rows of a data set as they are used."""

import numpy as np
from numpy.typing import NDArray

from plmrs.data.dataset import Dataset, Histories
from plmrs.data.splits import Split
from plmrs.inspect.parts import PARTS
from plmrs.inspect.times import told
from plmrs.report import Cell, Table

USERS, ITEMS = 3, 3
"""How many users are shown, and how many of their last items."""

LONGEST_ID, LONGEST_TEXT = 12, 36
"""Longer ids and texts are cut, so that a row fits a terminal's line."""


def samples_table(dataset: Dataset, split: Split, parts: NDArray[np.uint8], whole: bool = False) -> Table:
    """The last items of the first users that are tested.

    Args:
        dataset: The data set.
        split: Its split.
        parts: The part of each interaction, as its place in `PARTS`. [interactions]
        whole: Cut no id and no text.
    """
    users = split.test.users[:USERS]
    own = dataset.histories.take(users)
    rows, places = Histories(own.items, np.maximum(own.start, own.stop - ITEMS), own.stop).flat()
    items = own.items[places]
    user_ids, item_ids, texts = dataset.user_ids_of(users), dataset.item_ids_of(items), dataset.texts_of(items)
    has_times = bool(dataset.manifest["has_times"])

    def cut(text: str, longest: int) -> str:
        return text if whole else _cut(text, longest)

    cells: list[list[Cell]] = []
    for nth, place in enumerate(places.tolist()):
        when = [told(dataset, int(dataset.times[place]))] if has_times else []
        cells.append(
            [
                cut(user_ids[rows[nth]], LONGEST_ID),
                PARTS[parts[place]],
                *when,
                cut(item_ids[nth], LONGEST_ID),
                cut(texts[nth], LONGEST_TEXT),
            ]
        )
    columns = ["user", "part", *(["when"] if has_times else []), "item", "text"]
    return Table("Samples: the last items of users that are tested", columns, cells)


def _cut(text: str, longest: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
