"""MIND's impressions: what each user read, put together from histories that repeat and clicks that follow.

A row is an impression: who saw which news, which of them were clicked, and beside it the clicks that came before,
without times. A file repeats that history in all of a user's rows, and the next part's file may repeat it again, or
bring one that already holds the clicks of this part. The rules (`RULES`) take each click once in all these cases.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from plmrs.data.sources.files import BLOCK, REPEATING, readable, unquoted
from plmrs.data.sources.source import Tally, encode, first_rows
from plmrs.errors import UserError

COLUMNS = ("impression_id", "user_id", "time", "history", "impressions")
TIME = "%m/%d/%Y %I:%M:%S %p"  # 11/12/2019 2:14:46 PM
RULES = (
    "Of the histories beside a user's impressions the longest is taken, once; of equally long ones the first.",
    "The clicked impressions of all parts follow it in order of time, equal times in file order.",
    "A click seen beside a shorter history than the one taken is left out when that history holds its item; so is a"
    " first click on the item that the history ends with.",
    "A history has no times: its items carry the time of the user's first impression.",
)

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Behaviors:
    """One file's impressions.

    Attributes:
        users: Who saw them. [rows] dictionary of strings
        times: When, in seconds. [rows]
        histories: The history beside each, ids joined by spaces. [rows] dictionary of strings
        click_rows: The impression of each click. [clicks]
        clicks: The item of each click. [clicks] strings
        labelled: Whether the file says which items were clicked.
    """

    users: pa.ChunkedArray
    times: Ints
    histories: pa.ChunkedArray
    click_rows: Ints
    clicks: pa.ChunkedArray
    labelled: bool


def read_behaviors(path: Path) -> Behaviors:
    """Read one `behaviors.tsv`, a block at a time: of what was shown only the clicked items outlive their block.

    Raises:
        UserError: the file is damaged or not UTF-8, or a time cannot be read.
    """
    types = csv.ConvertOptions(
        column_types={**dict.fromkeys(COLUMNS, pa.string()), "user_id": REPEATING, "history": REPEATING},
        include_columns=["user_id", "time", "history", "impressions"],
    )
    options = csv.ReadOptions(block_size=BLOCK, column_names=COLUMNS, use_threads=False)
    users, histories, clicks, click_rows, times, labelled = [], [], [], [], [], False
    rows = 0
    with readable(path), csv.open_csv(path, options, unquoted(), types) as blocks:
        for block in blocks:
            parents, shown = _tokens(block.column("impressions"))
            clicked = pc.ends_with(shown, "-1")
            labelled = labelled or bool(pc.any(pc.or_(clicked, pc.ends_with(shown, "-0"))).as_py())
            clicks.append(pc.utf8_slice_codeunits(shown.filter(clicked), 0, -2))
            click_rows.append(parents[clicked.to_numpy(zero_copy_only=False)] + rows)
            users.append(block.column("user_id"))
            histories.append(block.column("history"))
            times.append(_seconds(path, block.column("time"), rows))
            rows += len(block)
    return Behaviors(
        pa.chunked_array(users),
        np.concatenate(times),
        pa.chunked_array(histories),
        np.concatenate(click_rows),
        pa.chunked_array(clicks, pa.string()),
        labelled,
    )


def join(parts: list[Behaviors]) -> tuple[pa.Table, tuple[Tally, ...]]:
    """What each user read, by the rules, and what was left out.

    Args:
        parts: The files' impressions, in order of time.

    Returns:
        Columns user_id, item_id, time, all histories before all clicks; the account of what was left out.
    """
    users, user_ids = encode(_chain(part.users for part in parts))
    history_of, histories = encode(_chain(part.histories for part in parts))
    lengths = np.bincount(_tokens(histories)[0], minlength=len(histories))[history_of]
    times = np.concatenate([part.times for part in parts])
    starts = np.cumsum([0, *(len(part.times) for part in parts)])[:-1]

    # The first of each user's longest histories. [users]
    ranked = np.lexsort((-lengths, users))
    best = ranked[first_rows(users[ranked], len(user_ids))]
    first_time = np.full(len(user_ids), np.iinfo(np.int64).max)
    np.minimum.at(first_time, users, times)

    owners, taken = _tokens(histories.take(pa.array(history_of[best])))
    click_rows = np.concatenate([part.click_rows + start for part, start in zip(parts, starts, strict=True)])
    click_users, click_times = users[click_rows], times[click_rows]
    items, item_ids = encode(_chain([pa.chunked_array([taken]), *(part.clicks for part in parts)]))
    taken_items, click_items = items[: len(taken)], items[len(taken) :]

    shorter = lengths[click_rows] < lengths[best][click_users]
    held = shorter & _paired((click_users, click_items), (owners, taken_items))
    held[_repeats_at_the_end(click_users, click_items, click_times, held, owners, taken_items)] = True
    dropped = [Tally("clicks", int(held.sum()), "the user's history holds them already")]

    all_users = np.concatenate([owners, click_users[~held]])
    all_items = np.concatenate([taken_items, click_items[~held]])
    other = np.unique(np.stack([users, history_of])[:, history_of != history_of[best][users]], axis=1)
    positions, tokens = _tokens(histories.take(pa.array(other[1])))
    other_items = pc.fill_null(pc.index_in(tokens, item_ids), -1).to_numpy()
    lost = ~_paired((other[0][positions], other_items), (all_users, all_items))
    dropped.append(Tally("history items", int(lost.sum()), "they stand only in a shorter history of their user"))
    columns = {
        "user_id": pa.DictionaryArray.from_arrays(pa.array(all_users.astype(np.int32)), user_ids),
        "item_id": pa.DictionaryArray.from_arrays(pa.array(all_items.astype(np.int32)), item_ids),
        "time": pa.array(np.concatenate([first_time[owners], click_times[~held]])),
    }
    return pa.table(columns), tuple(dropped)


def _repeats_at_the_end(
    users: Ints, items: Ints, times: Ints, held: NDArray[np.bool_], owners: Ints, taken: Ints
) -> Ints:
    """The clicks that are their user's first, of those not `held`, on the item that the user's history ends with.

    Args:
        users: Whose clicks they are. [clicks]
        items: What was clicked. [clicks]
        times: When. [clicks]
        held: The clicks left out already. [clicks]
        owners: Whose history each of its items is in, user by user. [history items]
        taken: Those items, oldest first. [history items]
    """
    order = np.lexsort((times, users))
    order = order[~held[order]]
    first = order[np.flatnonzero(np.diff(users[order], prepend=-1))]
    ends = np.full(max(users.max(initial=0), owners.max(initial=0)) + 1, -1)
    ends[owners] = taken  # of several assignments to one place the last one stays
    repeats: Ints = first[items[first] == ends[users[first]]]
    return repeats


def _paired(pairs: tuple[Ints, Ints], among: tuple[Ints, Ints]) -> NDArray[np.bool_]:
    """Whether each pair of user and item is one of the others. [pairs]"""
    width = 1 + max(part.max(initial=0) for part in (pairs[1], among[1]))
    keys, others = (pa.array(users * width + items) for users, items in (pairs, among))
    found: NDArray[np.bool_] = pc.is_in(keys, value_set=others).to_numpy(zero_copy_only=False)
    return found & (pairs[1] >= 0)


def _chain(columns: Iterable[pa.ChunkedArray]) -> pa.ChunkedArray:
    """Columns one below the other."""
    return pa.chunked_array([chunk for column in columns for chunk in column.chunks])


def _tokens(texts: pa.Array) -> tuple[Ints, pa.Array]:
    """The words of all texts in turn, and the row each stands in."""
    lists = pc.utf8_split_whitespace(texts)
    words = pc.list_flatten(lists)
    real = pc.not_equal(words, "")
    return pc.list_parent_indices(lists).filter(real).to_numpy().astype(np.int64), words.filter(real)


def _seconds(path: Path, column: pa.Array, row: int) -> Ints:
    """Times of a block that begins behind `row` rows, in seconds. [rows]"""
    times = pd.to_datetime(column.to_pandas(), format=TIME, errors="coerce")
    wrong = np.flatnonzero(times.isna())
    if len(wrong):
        said = column[int(wrong[0])].as_py()
        raise UserError(
            f"{path} has no time like 11/12/2019 2:14:46 PM in row {row + wrong[0] + 1}, but {said!r}.",
            "Unzip the official file again.",
        )
    seconds: Ints = times.dt.as_unit("s").astype("int64").to_numpy()
    return seconds
