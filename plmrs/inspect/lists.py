"""What a workspace holds, a table a kind."""

import datetime
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from plmrs.cache.find import cache_folders, open_cache
from plmrs.data.dataset import open_dataset, prepared_names
from plmrs.errors import UserError
from plmrs.inspect.cache import short_state
from plmrs.inspect.evaluated import WANTED, own_metrics
from plmrs.model.run import open_run, run_names
from plmrs.report import Cell, Progress, Table
from plmrs.workspace import Workspace

Thing = TypeVar("Thing")

DATASET, PLM = 14, 17
"""Characters of a name where a row has many cells; the details of the thing give it whole."""


def lists(workspace: Workspace, progress: Progress, whole: bool = False) -> list[Table]:
    """What is prepared, cached and trained; a kind of which there is nothing has no table. `whole`: no name is cut."""
    tables = [_prepared(workspace, progress), _cached(workspace, progress, whole), _trained(workspace, progress)]
    found = [table for table in tables if table.rows]
    if not found:
        progress.say(f"Nothing is prepared below {workspace.root} nor trained below {workspace.runs} yet.")
    return found


def _opened(
    opener: Callable[[Workspace, str], Thing], workspace: Workspace, names: Iterable[str], progress: Progress
) -> Iterator[Thing]:
    """What can be opened of these; a damaged one is told and left out, so that it hides no other."""
    for name in names:
        try:
            yield opener(workspace, name)
        except UserError as error:
            progress.warn(error.message)


def _prepared(workspace: Workspace, progress: Progress) -> Table:
    rows: list[list[Cell]] = []
    for dataset in _opened(open_dataset, workspace, prepared_names(workspace), progress):
        count = len(dataset.histories.items)
        rows.append(
            [
                dataset.name,
                dataset.n_users,
                dataset.n_items,
                count,
                dataset.manifest["split"]["method"],
                dataset.fingerprint,
                _day(dataset.manifest["created"]),
            ]
        )
    columns = ["data set", "users", "items", "interactions", "split", "fingerprint", "prepared"]
    return Table("Prepared", columns, rows)


def _cached(workspace: Workspace, progress: Progress, whole: bool) -> Table:
    folders = map(str, cache_folders(workspace))
    rows: list[list[Cell]] = [
        [
            cache.dataset if whole else _cut(cache.dataset, DATASET),
            cache.plm if whole else _cut(cache.plm, PLM),
            cache.boundary,
            cache.fingerprint,
            cache.n_items,
            short_state(cache),
            _day((cache.path / "zarr.json").stat().st_mtime),
        ]
        for cache in _opened(lambda _, path: open_cache(Path(path)), workspace, folders, progress)
    ]
    return Table("Cached", ["data set", "language model", "boundary", "cache", "items", "state", "made"], rows)


def _cut(name: str, most: int) -> str:
    """A name as it fits a row: without the owner of a hub name, or the folders around a folder, where it is long."""
    if len(name) > most or Path(name).is_absolute():
        name = Path(name).name
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _trained(workspace: Workspace, progress: Progress) -> Table:
    rows: list[list[Cell]] = []
    for run in _opened(open_run, workspace, run_names(workspace), progress):
        result, tested = run.metrics, run.test_metrics
        rows.append(
            [
                run.name,
                run.manifest["dataset"],
                run.config.model.input_type,
                run.manifest["plm"] or "",
                f"{result['best_epoch']} of {result['epochs']}" if result else "unfinished",
                result["validation"].get(WANTED) if result else None,
                own_metrics(tested).get(WANTED) if tested else None,
                _day(run.manifest["created"]),
            ]
        )
    columns = ["run", "data set", "input", "language model", "best epoch", f"val {WANTED}", f"test {WANTED}", "begun"]
    return Table("Trained", columns, rows)


def _day(made: float | str) -> str:
    """A time, in seconds since 1970 or as ISO text, as the day it was here."""
    if isinstance(made, str):
        made = datetime.datetime.fromisoformat(made).timestamp()
    return datetime.datetime.fromtimestamp(made).astimezone().strftime("%Y-%m-%d")
