"""plmrs recommend: the best items of users of the data set, or of a history, as a file or a table."""

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from plmrs.config import RecommendConfig
from plmrs.data.candidates import check_candidates
from plmrs.data.dataset import Histories
from plmrs.data.ids import read_ids
from plmrs.errors import UserError
from plmrs.recommend.new_items import read_new
from plmrs.recommend.output import check_output, written
from plmrs.recommend.trained import TrainedModel, load_model, schema
from plmrs.report import Cell, Progress, Table, counted

SHOWN = 3
"""Users of the data set that are shown where none are named and there is no file."""
MOST_SHOWN = 20
"""Users that are shown of those named."""


def recommend(what: str | None, config: RecommendConfig, progress: Progress) -> list[Table]:
    """Recommend the best items to users, into a file or, for the first few of them, as a table.

    Args:
        what: A run's name or folder, or a checkpoint's file or folder; None is the run begun last.
        config: Users, items, where it goes.
        progress: Where it tells what it does.

    Returns:
        The recommendations, or how many were written where.

    Raises:
        UserError: there is no such run, user, item or file, or what the run was trained on is gone or has changed.
    """
    wanted, new = config.wanted, config.new
    if wanted.users is not None and wanted.history is not None:
        raise UserError("--users and --history are both given.", "Give one of them.")
    for key in ("item_column", "text_fields", "text_template"):
        if getattr(new, key) is not None and new.items is None:
            raise UserError(f"--{key.replace('_', '-')} is given without --items.", "Name the table with --items FILE.")
    if wanted.output is not None:
        check_output(wanted.output)
    check_candidates(wanted.candidates)
    model = load_model(what, config.workspace, config.device, progress)
    if new.items is not None:
        model.add_table(read_new(new.items, new, model.dataset, progress), progress)
    histories, names = _asked(model, wanted.users, wanted.history)
    title = f"Recommendations of {model.run.name}"
    notes = [_note(model, config)]
    if wanted.output is None:
        most = len(histories) if wanted.history is not None else MOST_SHOWN if wanted.users is not None else SHOWN
        if len(histories) > most:
            notes.append(f"The first {most} of {len(histories):,} users. All of them: --output FILE.parquet")
        shown = histories.take(slice(0, most))
        tables = model.tables(shown, names, wanted.topk, wanted.mask_seen, wanted.candidates, wanted.memory)
        return [_shown(title, pa.concat_tables(tables), notes)]
    began = time.perf_counter()
    rows = _write(wanted.output, model, histories, names, config, progress)
    seconds = time.perf_counter() - began
    found: list[Sequence[Cell]] = [
        ("users", len(histories)),
        ("rows", rows),
        ("seconds", f"{seconds:.1f}"),
        ("users/s", round(len(histories) / seconds)),
        ("file", str(wanted.output)),
    ]
    return [Table(title, ("", "value"), found, notes)]


def _asked(
    model: TrainedModel, users: tuple[str, ...] | None, history: tuple[str, ...] | None
) -> tuple[Histories, pa.Array | pa.ChunkedArray]:
    """The histories to recommend to, and what their users are called: nothing, for one given as such."""
    if history is not None:
        return model.histories([history], "--history"), pa.nulls(1, pa.string())
    if users is None:
        return model.users(None)
    if len(users) == 1 and _is_file(users[0]):
        return model.users(read_ids(Path(users[0])), f"--users {users[0]}")
    known = pc.is_in(pa.array(users), value_set=model.dataset.user_column).to_pylist()
    # A word that is an id as it stands is that one, commas included.
    ids = [[word] if there else word.split(",") for word, there in zip(users, known, strict=True)]
    named = [part for parts in ids for part in parts if part]
    if not named:
        raise UserError(f"--users {' '.join(users)} names no user.", "Give ids, or leave it out for all users.")
    return model.users(named, "--users")


def _is_file(word: str) -> bool:
    # Ids with commas between may be longer than a file's name can be.
    with suppress(OSError):
        return Path(word).is_file()
    return False


def _write(
    path: Path,
    model: TrainedModel,
    histories: Histories,
    names: pa.Array | pa.ChunkedArray,
    config: RecommendConfig,
    progress: Progress,
) -> int:
    """Write a portion after the other; the number of rows."""
    wanted, rows = config.wanted, 0
    asked = wanted.topk, wanted.mask_seen, wanted.candidates, wanted.memory
    with (
        progress.track("Recommending", len(histories), "users") as advance,
        written(path, schema(names.type)) as write,
    ):
        for table in model.tables(histories, names, *asked, advance):
            write(table)
            rows += table.num_rows
    return rows


def _note(model: TrainedModel, config: RecommendConfig) -> str:
    wanted, new = config.wanted, len(model.items) - model.items.known
    among = {"all": "all items", "interacted": "the items that anyone took", "train": "the items that training has"}
    out = ["ranked: " + among.get(wanted.candidates, f"the items in {wanted.candidates}")]
    out += [f"{counted(new, 'new one')} among them"] if new else []
    return ", ".join(out) + ("; without what is in the history" if wanted.mask_seen else "; the history's own too")


def _shown(title: str, table: pa.Table, notes: list[str]) -> Table:
    """Recommendations to be looked at; a column of users only where they have names."""
    columns = [name for name in table.column_names if name != "user" or table.column("user").null_count == 0]
    rows = list(zip(*(table.column(name).to_pylist() for name in columns), strict=True))
    if not rows:
        notes.append("No candidate is left to recommend.")
    return Table(title, columns, rows, notes)
