"""A trained model as Python has it: `plmrs.load("run").recommend(users=["u1"])`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from plmrs.cache.store import Cache
from plmrs.config import DeviceOptions, NewItemOptions, WorkspaceOptions
from plmrs.data.candidates import allowed_items
from plmrs.data.dataset import Dataset, Histories
from plmrs.data.ids import rows_of
from plmrs.devices import resolve_devices
from plmrs.errors import UserError
from plmrs.model.encoder import UserEncoder
from plmrs.model.load import load_run
from plmrs.model.recommender import Recommender
from plmrs.model.run import Run, open_run
from plmrs.recommend.catalogue import Catalogue, catalogue_of
from plmrs.recommend.new_items import new_vectors, read_new, table_of
from plmrs.recommend.rank import Best, Task, best_items
from plmrs.report import Advance, Progress, Silent

if TYPE_CHECKING:
    import pandas as pd

MEMORY = 512 * 2**20
"""Bytes of what is scored at once, unless told otherwise."""
ROWS_AT_ONCE = 1 << 16
"""Rows of a portion: a row group of a Parquet file."""


class TrainedModel:
    """A run's model with the items it ranks.

    Attributes:
        run: The run.
        dataset: What it was trained on.
        model: The recommender, in evaluation mode.
        encoder: What of it reads a history.
        items: The items, those of the data set first.
    """

    def __init__(
        self, run: Run, model: Recommender, dataset: Dataset, cache: Cache | None, devices: Sequence[torch.device]
    ) -> None:
        self.run, self.model, self.dataset, self._cache, self._devices = run, model, dataset, cache, devices
        self.encoder = UserEncoder(model).eval()
        self.items: Catalogue = catalogue_of(model, dataset)

    def recommend(
        self,
        users: str | Sequence[str] | None = None,
        histories: Sequence[Sequence[str]] | Mapping[str, Sequence[str]] | None = None,
        k: int = 10,
        mask_seen: bool = True,
        candidates: str | Iterable[str] = "all",
    ) -> pd.DataFrame:
        """The best items of each user, best first: a row a user and item.

        Args:
            users: Ids of users of the data set, whose whole histories are read. Default: all users.
            histories: Item ids instead, oldest first, at least one a user; with a mapping its keys stand for the users,
                else positions from 0.
            k: Items a user; there are fewer where no more are left.
            mask_seen: Whether what is in a user's history is left out.
            candidates: What is recommended from: all, interacted (those that anyone took), train (those that training
                has), a file with an id a line, or ids.

        Returns:
            Columns user, rank (from 1), item, score, text. [users · k rows]

        Raises:
            UserError: there is no such user or item, or a history is empty.
        """
        import pandas as pd

        frames = list(self.stream(users, histories, k, mask_seen, candidates))
        return pd.concat(frames, ignore_index=True)

    def stream(
        self,
        users: str | Sequence[str] | None = None,
        histories: Sequence[Sequence[str]] | Mapping[str, Sequence[str]] | None = None,
        k: int = 10,
        mask_seen: bool = True,
        candidates: str | Iterable[str] = "all",
        memory: int = MEMORY,
    ) -> Iterator[pd.DataFrame]:
        """As `recommend`, some users at a time: any number of users needs no more memory than one portion.

        `memory` is the bytes of what is scored at once.
        """
        taken, names = self._asked(users, histories)
        for table in self.tables(taken, names, k, mask_seen, candidates, memory):
            yield table.to_pandas()

    def add_items(self, items: Path | Mapping[str, str], progress: Progress | None = None, **columns: str) -> None:
        """Rank new items with the rest from now on, by their texts.

        Args:
            items: A table of items in any format that `prepare` reads, or from ids to texts.
            progress: Is told how far encoding is.
            columns: item_column, text_fields and text_template, as the command line has them.

        Raises:
            UserError: an id is there already or is no text, the model reads none, or its PLM is gone or has changed.
        """
        progress = progress or Silent()
        own = NewItemOptions(**columns)
        table = table_of(items) if isinstance(items, Mapping) else read_new(Path(items), own, self.dataset, progress)
        self.add_table(table, progress)

    def add_table(self, table: pa.Table, progress: Progress) -> None:
        """As `add_items`, from a table with the columns item_id and text."""
        if not table.num_rows:
            return
        ids, texts = (table.column(name).combine_chunks() for name in ("item_id", "text"))
        vectors = new_vectors(self.run, self.model, self._cache, self.items, ids, texts, progress)
        self.items = self.items.with_new(self.model, ids, texts, vectors.to(self.items.vectors.device))

    def tables(
        self,
        histories: Histories,
        names: pa.Array | pa.ChunkedArray,
        k: int,
        mask_seen: bool,
        candidates: str | Iterable[str],
        memory: int = MEMORY,
        advance: Advance | None = None,
    ) -> Iterator[pa.Table]:
        """The best items as Arrow tables of at most about `ROWS_AT_ONCE` rows, at least one.

        Args:
            histories: Numbers of the items each user took, at least one.
            names: What the users are called in the column user. [users]
            k: Items a user.
            mask_seen: Whether what is in a history is left out.
            candidates: As for `recommend`.
            memory: Bytes of what is scored at once.
            advance: Is told how many users are done.
        """
        if k < 1:
            raise ValueError(f"k is {k}: it is the number of items a user, at least 1")
        allowed = allowed_items(candidates, self.dataset, self.items.ids)
        out = None if allowed is None else torch.from_numpy(~allowed)
        found: list[Best] = []
        rows = 0
        vectors, own = self.items.vectors, self.items.candidates
        task = Task(self.encoder, vectors, own, histories, min(k, len(self.items)), mask_seen, out, memory)
        for best in best_items(task, self._devices):
            found.append(best)
            rows += best.rows.size
            if advance is not None:
                advance(len(best.rows))
            if rows >= ROWS_AT_ONCE:
                yield self._table(found, names)
                found, rows = [], 0
        if found or not len(histories):
            yield self._table(found, names)

    def users(self, ids: Sequence[str] | None, where: str = "users") -> tuple[Histories, pa.ChunkedArray]:
        """The whole histories of some users of the data set, and their ids; None for all users.

        Raises:
            UserError: there is no such user.
        """
        known = self.dataset.user_column
        if ids is None:
            return self.dataset.histories, known
        rows = rows_of(ids, known, "user", where)
        return self.dataset.histories.take(rows), known.take(pa.array(rows))

    def histories(self, ids: Sequence[Sequence[str]], where: str = "histories") -> Histories:
        """Histories of item ids as numbers.

        Raises:
            UserError: one is empty, or there is no such item.
        """
        lengths = np.array([len(history) for history in ids], np.int64)
        if not lengths.all():
            raise UserError(
                f"{where}: history {int((lengths == 0).argmax())} is empty.", "Give at least one item of each user."
            )
        flat = rows_of([item for history in ids for item in history], self.items.ids, "item", where) + 1
        stop = np.cumsum(lengths)
        return Histories(flat.astype(np.int32), stop - lengths, stop)

    def _asked(
        self,
        users: str | Sequence[str] | None,
        histories: Sequence[Sequence[str]] | Mapping[str, Sequence[str]] | None,
    ) -> tuple[Histories, pa.Array | pa.ChunkedArray]:
        if histories is None:
            return self.users([users] if isinstance(users, str) else users)
        if users is not None:
            raise ValueError("give users or histories, not both")
        if isinstance(histories, Mapping):
            return self.histories(list(histories.values())), pa.array(histories, pa.string())
        if any(isinstance(history, str) for history in histories):
            raise ValueError("histories is a list of histories, each a list of item ids")
        return self.histories(histories), pa.array(range(len(histories)))

    def _table(self, found: Sequence[Best], names: pa.Array | pa.ChunkedArray) -> pa.Table:
        """A row a user and item, in the order of the users."""
        if not found:
            return schema(names.type).empty_table()
        rows = np.concatenate([best.rows for best in found])  # [users, k]
        scores = np.concatenate([best.scores for best in found])
        users = np.arange(found[0].users.start, found[-1].users.stop)
        there = rows >= 0
        user, rank = there.nonzero()
        chosen = pa.array(rows[there])
        columns = [
            names.take(pa.array(users[user])),
            pa.array((rank + 1).astype(np.int32)),
            self.items.ids.take(chosen),
            pa.array(scores[there]),
            self.items.texts.take(chosen),
        ]
        return pa.table(columns, schema=schema(names.type))


def schema(user: pa.DataType) -> pa.Schema:
    """The columns of recommendations, where users are called by values of a type."""
    kinds = {"user": user, "rank": pa.int32(), "item": pa.string(), "score": pa.float32(), "text": pa.string()}
    return pa.schema(list(kinds.items()))


def load_model(
    run: str | None, workspace: WorkspaceOptions, device: DeviceOptions, progress: Progress | None = None
) -> TrainedModel:
    """A run's model on the first of some devices; all of them recommend.

    Raises:
        UserError: there is no such run, or what it was trained on is gone or has changed.
    """
    devices = [torch.device(name) for name in resolve_devices(device).names]
    places = workspace.open()
    opened = open_run(places, run)
    model, dataset, cache = load_run(places, opened)
    if progress is not None:
        progress.say(f"Run {opened.name} ({opened.weights.name}) on {dataset.name}.")
    return TrainedModel(opened, model.to(devices[0]), dataset, cache, devices)
