"""What a workspace holds, a table a kind."""

import datetime
from collections.abc import Callable, Iterable
from pathlib import Path

from plmrs.cache.find import cache_folders, open_cache
from plmrs.data.dataset import open_dataset, prepared_names
from plmrs.errors import UserError
from plmrs.inspect.cache import short_state
from plmrs.inspect.evaluated import WANTED, own_metrics
from plmrs.model.run import open_run, run_names
from plmrs.report import Cell, Progress, Table
from plmrs.workspace import Workspace

DATASET, PLM = 14, 17
"""Characters of a name where a row has many cells; the details of the thing give it whole."""


def lists(workspace: Workspace, progress: Progress, whole: bool = False) -> list[Table]:
    """What is prepared, cached and trained; a kind of which there is nothing has no table. `whole`: no name is cut."""
    tables = [_prepared(workspace, progress), _cached(workspace, progress, whole), _trained(workspace, progress)]
    found = [table for table in tables if table.rows]
    if not found:
        progress.say(f"Nothing is prepared below {workspace.root} nor trained below {workspace.runs} yet.")
    return found


def _rows(row: Callable[[str], list[Cell]], names: Iterable[str], progress: Progress) -> list[list[Cell]]:
    """A row of each that can be read; a damaged one is told and left out, so that it hides no other."""
    rows = []
    for name in names:
        try:
            rows.append(row(name))
        except UserError as error:
            progress.warn(error.message)
    return rows


def _prepared(workspace: Workspace, progress: Progress) -> Table:
    def row(name: str) -> list[Cell]:
        dataset = open_dataset(workspace, name)
        return [
            dataset.name,
            dataset.n_users,
            dataset.n_items,
            len(dataset.histories.items),
            dataset.manifest["split"]["method"],
            dataset.fingerprint,
            _day(dataset.manifest["created"]),
        ]

    columns = ["data set", "users", "items", "interactions", "split", "fingerprint", "prepared"]
    return Table("Prepared", columns, _rows(row, prepared_names(workspace), progress))


def _cached(workspace: Workspace, progress: Progress, whole: bool) -> Table:
    def row(path: str) -> list[Cell]:
        cache = open_cache(Path(path))
        return [
            cache.dataset if whole else _cut(cache.dataset, DATASET),
            cache.plm if whole else _cut(cache.plm, PLM),
            cache.boundary,
            cache.fingerprint,
            cache.n_items,
            short_state(cache),
            _day((cache.path / "zarr.json").stat().st_mtime),
        ]

    columns = ["data set", "language model", "boundary", "cache", "items", "state", "made"]
    return Table("Cached", columns, _rows(row, map(str, cache_folders(workspace)), progress))


def _cut(name: str, most: int) -> str:
    """A name as it fits a row: without the owner of a hub name, or the folders around a folder, where it is long."""
    if len(name) > most or Path(name).is_absolute():
        name = Path(name).name
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _trained(workspace: Workspace, progress: Progress) -> Table:
    def row(name: str) -> list[Cell]:
        run = open_run(workspace, name)
        result, tested = run.metrics, run.test_metrics
        return [
            run.name,
            run.manifest["dataset"],
            run.config.model.input_type,
            run.manifest["plm"] or "",
            f"{result['best_epoch']} of {result['epochs']}" if result else "unfinished",
            result["validation"].get(WANTED) if result else None,
            own_metrics(tested).get(WANTED) if tested else None,
            _day(run.manifest["created"]),
        ]

    columns = ["run", "data set", "input", "language model", "best epoch", f"val {WANTED}", f"test {WANTED}", "begun"]
    return Table("Trained", columns, _rows(row, run_names(workspace), progress))


def _day(made: float | str) -> str:
    """A time, in seconds since 1970 or as ISO text, as the day it was here."""
    if isinstance(made, str):
        made = datetime.datetime.fromisoformat(made).timestamp()
    return datetime.datetime.fromtimestamp(made).astimezone().strftime("%Y-%m-%d")
