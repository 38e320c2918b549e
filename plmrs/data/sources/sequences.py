"""Histories as text: a user a row, the ids of the user's items joined by spaces, oldest first."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from plmrs.data.sources.delimited import text_batches, unquoted
from plmrs.data.sources.numbering import Numbering, encoded
from plmrs.data.sources.raw import RawFile
from plmrs.data.sources.source import Interactions, Tally

RULE = "A user's items are in the order in which they stand; rows of one user follow one another."


def words(texts: pa.StringArray) -> tuple[NDArray[np.int64], pa.StringArray]:
    """The words of all texts in turn, and the row each stands in.

    Example: `["N5 N7", "", "N2"]` give `[0, 0, 2]` and `["N5", "N7", "N2"]`.
    """
    lists = pc.split_pattern(texts, " ")
    found = pc.list_flatten(lists)
    rows = pc.list_parent_indices(lists)
    real = pc.not_equal(found, "")
    if not pc.all(real).as_py():
        found, rows = found.filter(real), rows.filter(real)
    return rows.to_numpy().astype(np.int64), found


def read_sequences(file: RawFile, user: str, history: str) -> tuple[Interactions, tuple[Tally, ...], tuple[Tally, ...]]:
    """The interactions of a tab-separated file, a block at a time; what was read, and what was dropped.

    Args:
        file: The file.
        user: Its column of user ids.
        history: Its column of ids joined by spaces.

    Raises:
        UserError: the file holds no rows, is damaged, cut within a row, or not UTF-8.
    """
    users, items = Numbering(), Numbering()
    lengths = [np.zeros(0, np.int64)]
    types = csv.ConvertOptions(column_types={user: pa.string(), history: pa.string()}, include_columns=[user, history])
    for block in text_batches(file, unquoted(), types, file.header):
        rows, found = words(block.column(history))
        users.add(*encoded(block.column(user)))
        items.add(*encoded(found))
        lengths.append(np.bincount(rows, minlength=len(block)))
    row_users, user_ids = users.finish()
    taken, item_ids = items.finish()
    takers = np.repeat(row_users, np.concatenate(lengths))
    named = pc.not_equal(user_ids, "").to_numpy(zero_copy_only=False)
    known = named[takers]
    interactions = Interactions(takers[known], user_ids, taken[known], item_ids, None)
    idle = named & (np.bincount(interactions.users, minlength=len(user_ids)) == 0)
    return (
        interactions,
        (Tally("histories", len(row_users), file.name), Tally("interactions", len(taken), file.name)),
        (
            Tally("interactions", int((~known).sum()), "they have no user id"),
            Tally("users", int(idle.sum()), "their history is empty"),
        ),
    )
