"""plmrs inspect: what is prepared, cached and trained, and the details of one of them."""

import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from plmrs.cache.store import Cache, list_caches, open_cache
from plmrs.config import InspectConfig
from plmrs.data.dataset import MANIFEST as DATASET_MANIFEST
from plmrs.data.dataset import open_dataset, prepared_names
from plmrs.errors import UserError
from plmrs.inspect.cache import cache_tables
from plmrs.inspect.dataset import dataset_tables
from plmrs.inspect.run import run_tables
from plmrs.model.run import open_run, run_names
from plmrs.report import Cell, Progress, Table
from plmrs.workspace import Workspace

Thing = TypeVar("Thing")


def inspect(what: str | None, config: InspectConfig, progress: Progress) -> list[Table]:
    """What a workspace holds, or one thing's details.

    Args:
        what: A data set's, run's or cache's name or path; None lists all.
        config: The workspace, and whether a data set's distributions are drawn.
        progress: Where it tells what it finds.

    Raises:
        UserError: nothing is called so, or it is damaged.
    """
    workspace, plot = config.workspace.open(), config.shown.plot
    if what is None:
        if plot:
            raise UserError("--plot draws a data set: which one?", "Name it: `plmrs inspect NAME --plot`.")
        return _lists(workspace, progress)
    if what in prepared_names(workspace):
        return dataset_tables(open_dataset(workspace, what), plot)
    path = Path(what)
    if (path / DATASET_MANIFEST).is_file() and path.parent.name == "prepared":
        return dataset_tables(open_dataset(Workspace(path.absolute().parents[1], workspace.runs), path.name), plot)
    if plot:
        progress.warn("--plot draws data sets only.")
    caches = [cache for cache in list_caches(workspace) if what in _names(cache)]
    if caches or path.suffix == ".zarr":
        return cache_tables(caches[0] if caches else open_cache(path))
    if path.exists() or workspace.run(what).exists():
        return run_tables(open_run(workspace, what))
    known = [*prepared_names(workspace), *run_names(workspace), *(cache.path.stem for cache in list_caches(workspace))]
    raise UserError(
        f"There is no data set, cache or run {what}.",
        f"There are: {', '.join(known)}." if known else "Make a data set first: `plmrs prepare demo`.",
    )


def _names(cache: Cache) -> set[str]:
    return {cache.path.name, cache.path.stem, cache.fingerprint}


def _lists(workspace: Workspace, progress: Progress) -> list[Table]:
    tables = [_prepared(workspace, progress), _cached(workspace), _trained(workspace, progress)]
    found = [table for table in tables if table.rows]
    if not found:
        progress.say(f"Nothing is prepared below {workspace.root} nor trained below {workspace.runs} yet.")
    return found


def _opened(
    opener: Callable[[Workspace, str], Thing], workspace: Workspace, names: list[str], progress: Progress
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
                _minute(dataset.manifest["created"]),
            ]
        )
    columns = ["data set", "users", "items", "interactions", "split", "fingerprint", "prepared"]
    return Table("Prepared", columns, rows)


def _cached(workspace: Workspace) -> Table:
    rows: list[list[Cell]] = [
        [
            str(cache.manifest["dataset"]),
            str(cache.manifest["plm"]),
            cache.path.stem,
            cache.n_items,
            "complete" if cache.is_complete else f"{len(cache.units_missing())} units missing",
            _minute((cache.path / "zarr.json").stat().st_mtime),
        ]
        for cache in list_caches(workspace)
    ]
    return Table("Cached", ["data set", "language model", "cache", "items", "state", "made"], rows)


def _trained(workspace: Workspace, progress: Progress) -> Table:
    rows: list[list[Cell]] = []
    for run in _opened(open_run, workspace, run_names(workspace), progress):
        result, evaluated = run.metrics, run.test_metrics
        rows.append(
            [
                run.name,
                run.manifest["dataset"],
                run.config.model.input_type,
                run.manifest["plm"] or "",
                f"{result['best_epoch']} of {result['epochs']}" if result else "unfinished",
                result["validation"].get("NDCG@10") if result else None,
                _own(evaluated, "NDCG@10") if evaluated else None,
                _minute(run.manifest["created"]),
            ]
        )
    columns = ["run", "data set", "input", "language model", "best epoch", "val NDCG@10", "test NDCG@10", "begun"]
    return Table("Trained", columns, rows)


def _own(evaluated: dict[str, Any], name: str) -> float | None:
    """The model's own value of a metric over all users: the first method of a result."""
    value: float | None = next(iter(evaluated["metrics"]["all"].values())).get(name)
    return value


def _minute(made: float | str) -> str:
    """A time, in seconds since 1970 or as ISO text, to the minute, in local time."""
    if isinstance(made, str):
        made = datetime.datetime.fromisoformat(made).timestamp()
    return datetime.datetime.fromtimestamp(made).astimezone().strftime("%Y-%m-%d %H:%M")
