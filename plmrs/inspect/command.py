"""plmrs inspect: what is prepared, cached and trained, and the details of one of them."""

import datetime
from pathlib import Path
from typing import Any

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


def inspect(what: str | None, config: InspectConfig, progress: Progress) -> list[Table]:
    """What a workspace holds, or one thing's details.

    Args:
        what: A data set's, run's or cache's name or path; None lists all.
        config: The workspace.
        progress: Where it tells what it finds.

    Raises:
        UserError: nothing is called so, or it is damaged.
    """
    workspace = config.workspace.open()
    if what is None:
        return _lists(workspace, progress)
    if what in prepared_names(workspace):
        return dataset_tables(open_dataset(workspace, what))
    path = Path(what)
    if (path / DATASET_MANIFEST).is_file() and path.parent.name == "prepared":
        return dataset_tables(open_dataset(Workspace(path.absolute().parents[1], workspace.runs), path.name))
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
    tables = [_prepared(workspace), _cached(workspace), _trained(workspace)]
    found = [table for table in tables if table.rows]
    if not found:
        progress.say(f"Nothing is prepared below {workspace.root} nor trained below {workspace.runs} yet.")
    return found


def _prepared(workspace: Workspace) -> Table:
    rows: list[list[Cell]] = []
    for name in prepared_names(workspace):
        dataset = open_dataset(workspace, name)
        count = len(dataset.histories.items)
        rows.append(
            [name, dataset.n_users, dataset.n_items, count, dataset.fingerprint, _minute(dataset.manifest["created"])]
        )
    columns = ["data set", "users", "items", "interactions", "fingerprint", "prepared"]
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


def _trained(workspace: Workspace) -> Table:
    rows: list[list[Cell]] = []
    for name in run_names(workspace):
        run = open_run(workspace, name)
        result, evaluated = run.metrics, run.test_metrics
        rows.append(
            [
                name,
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
