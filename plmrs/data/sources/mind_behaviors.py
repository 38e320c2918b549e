"""MIND's impressions: who saw which news, which of them were clicked, and beside it the clicks that came before."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from plmrs.data.sources.delimited import text_batches, unquoted
from plmrs.data.sources.mind_clicks import clicks_in
from plmrs.data.sources.mind_ids import NotPlainError, Numbers, PlainIds, TextIds
from plmrs.data.sources.mind_longest import Longest
from plmrs.data.sources.raw import RawFile
from plmrs.errors import UserError

COLUMNS = ("impression_id", "user_id", "time", "history", "impressions")
TIME = "%m/%d/%Y %I:%M:%S %p"  # 11/12/2019 2:14:46 PM
ROWS_AT_ONCE = 1 << 20
HISTORIES_AT_ONCE = 1 << 15
LABELS = r"-[01]( |$)"

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Impressions:
    """The impressions of all parts, and the longest history that each part has of each user.

    Attributes:
        users: Who saw them. [rows]
        user_ids: The users. [users]
        times: When, in seconds. [rows]
        beside: Bytes of the history beside each. [rows]
        owners: Whose each history is. [histories]
        sizes: Bytes of each history, as text. [histories]
        histories: The items of all histories in turn. [history items]
        starts: Where each history begins in `histories`, and the end of the last. [histories + 1]
        click_rows: The impression of each click. [clicks]
        clicks: The item of each click. [clicks]
        item_ids: What histories and clicks number. [items]
    """

    users: Numbers
    user_ids: pa.StringArray
    times: Ints
    beside: Numbers
    owners: Numbers
    sizes: Numbers
    histories: Numbers
    starts: Ints
    click_rows: Numbers
    clicks: Numbers
    item_ids: pa.StringArray


class Behaviors:
    """Reads `behaviors.tsv` of part after part, a block at a time.

    Of what was shown only the clicked items outlive their block, of a part's histories the longest of each user.

    Args:
        plain: Whether all ids are as the owner writes them, `U13740` and `N55189`.
    """

    def __init__(self, plain: bool) -> None:
        self._users: PlainIds | TextIds = PlainIds("U") if plain else TextIds(lists=False)
        self._items: PlainIds | TextIds = PlainIds("N") if plain else TextIds(lists=True)
        self._times: list[Ints] = []
        self._beside: list[Numbers] = []
        self._click_rows: list[Ints] = []
        self._owners: list[Numbers] = []
        self._sizes: list[Numbers] = []
        self._lengths: list[Ints] = [np.zeros(1, np.int64)]
        self._rows = 0
        self._of_histories: list[tuple[bool, int]] = []  # whether items are of histories, and how many in turn

    def add(self, file: RawFile) -> tuple[int, bool]:
        """Read a part: its number of rows, and whether it says which items were clicked.

        Raises:
            UserError: the file is damaged, cut or not UTF-8, or a time cannot be read.
            NotPlainError: ids should be plain, and one is not.
        """
        labelled = _is_labelled(file)
        names = ["user_id", "time", "history", *["impressions"][:labelled]]
        types = csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string()), include_columns=names)
        first, shown, longest = self._rows, None, Longest()
        users: list[pa.StringArray] = []
        histories: list[pa.StringArray] = []

        def take(users: list[pa.StringArray], histories: list[pa.StringArray]) -> None:
            for part in users:
                if (self._users.add(part) != 1).any():
                    raise NotPlainError
            longest.add(self._users.flush(), histories)

        with ThreadPoolExecutor(1) as aside:  # takes what was read beside the reading of what follows
            taken = []
            for block in text_batches(file, unquoted(), types, COLUMNS):
                self._times.append(_seconds(file, block.column("time"), self._rows - first))
                if labelled:
                    shown = block.column("impressions")
                    rows, items = clicks_in(shown)
                    rows = rows[self._items.add(items) > 0]  # a lone -1 says of nothing that it was clicked
                    self._of_histories.append((False, len(rows)))
                    self._click_rows.append(rows + self._rows)
                check_named(file, block.column("user_id"), self._rows - first)
                users.append(block.column("user_id"))
                histories.append(block.column("history"))
                self._rows += len(block)
                if sum(map(len, histories)) >= ROWS_AT_ONCE:
                    taken.append(aside.submit(take, users, histories))
                    users, histories = [], []
            taken.append(aside.submit(take, users, histories))
            for part in taken:
                part.result()
        self._beside += longest.sizes
        self._add_histories(*longest.finish())
        last = shown[-1].as_py().split() if shown is not None and len(shown) else []
        if last and last[-1][-2:] not in ("-0", "-1"):
            raise UserError(
                f"{file} breaks off in row {self._rows - first}: its last impression, {last[-1]}, has no -0 or -1"
                " behind it.",
                "Download or unzip the official file again.",
            )
        return self._rows - first, labelled

    def _add_histories(self, owners: Numbers, texts: pa.StringArray) -> None:
        """Take a part's histories as items."""
        self._owners.append(owners)
        self._sizes.append(pc.binary_length(texts).to_numpy())
        for first in range(0, len(texts), HISTORIES_AT_ONCE):
            lengths = self._items.add(texts.slice(first, HISTORIES_AT_ONCE))
            self._lengths.append(lengths)
            self._of_histories.append((True, int(lengths.sum())))

    def finish(self) -> Impressions:
        """What was read."""
        users, user_ids = self._users.finish()
        items, item_ids = self._items.finish()
        kinds, counts = zip(*self._of_histories, strict=True) if self._of_histories else ((True,), (0,))
        of_histories = np.repeat(kinds, counts)
        none = np.zeros(0, np.int32)
        return Impressions(
            users,
            user_ids,
            np.concatenate([none, *self._times], dtype=np.int64),
            np.concatenate([none, *self._beside]),
            self._users.codes_of(np.concatenate([none, *self._owners])),
            np.concatenate([none, *self._sizes]),
            items[of_histories],
            np.cumsum(np.concatenate(self._lengths)),
            np.concatenate([none, *self._click_rows], dtype=np.int32, casting="same_kind"),
            items[~of_histories],
            item_ids,
        )


def _is_labelled(file: RawFile) -> bool:
    """Whether a part says what was clicked: its first rows do, or none does."""
    types = csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string()), include_columns=["impressions"])
    shown = next(text_batches(file, unquoted(), types, COLUMNS)).column("impressions")
    return bool(pc.any(pc.match_substring_regex(shown, LABELS)).as_py())


def check_named(file: RawFile, ids: pa.StringArray | pa.ChunkedArray, row: int = 0) -> None:
    """See that the rows behind `row` others have an id each.

    Raises:
        UserError: one has none.
    """
    without = int(pc.index(ids, "").as_py())
    if without >= 0:
        raise UserError(f"{file} has no id in row {row + without + 1}.", "Download or unzip the official file again.")


def header_error(file: RawFile) -> UserError:
    """The error for a header in a file that has none."""
    return UserError(f"{file} begins with a header, which the official file has not.", "Remove its first line.")


def _seconds(file: RawFile, column: pa.StringArray, row: int) -> Ints:
    """Times of a block that begins behind `row` rows, in seconds. [rows]"""
    times = pc.strptime(column, format=TIME, unit="s", error_is_null=True)
    if times.null_count:
        wrong = int(pc.index(pc.is_null(times), True).as_py())
        said = column[wrong].as_py()
        if row + wrong == 0 and not any(letter.isdigit() for letter in said):
            raise header_error(file)
        raise UserError(
            f"{file} has no time like 11/12/2019 2:14:46 PM in row {row + wrong + 1}, but {said!r}.",
            "Download or unzip the official file again.",
        )
    return times.cast(pa.int64()).to_numpy()  # type: ignore[no-any-return]
