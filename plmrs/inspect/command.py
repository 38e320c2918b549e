"""plmrs inspect: what is prepared, cached and trained, the details of one of them, and whether a cache is sound."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from plmrs.cache.find import open_cache
from plmrs.cache.manifest import MANIFEST as CACHE_MANIFEST
from plmrs.cache.store import Cache
from plmrs.config import InspectConfig, InspectOptions
from plmrs.data.checksums import check_files
from plmrs.data.dataset import MANIFEST as DATASET_MANIFEST
from plmrs.data.dataset import Dataset, open_dataset, prepared_names
from plmrs.errors import UserError
from plmrs.inspect.cache import cache_tables
from plmrs.inspect.checkpoint import checkpoint_tables, is_checkpoint
from plmrs.inspect.compare import compared
from plmrs.inspect.dataset import dataset_tables
from plmrs.inspect.lists import lists
from plmrs.inspect.plm import plm_tables, without_flag
from plmrs.inspect.repair import repaired
from plmrs.inspect.run import run_tables
from plmrs.inspect.sort import sorted_tables
from plmrs.inspect.vectors import neighbour_tables, vector_tables
from plmrs.inspect.verify import verified
from plmrs.model.run import open_run, run_names
from plmrs.origins import did_you_mean
from plmrs.plm.checkpoint import ALIAS, Plm, find_configuration
from plmrs.report import Progress, Table
from plmrs.workspace import PARTIAL, Workspace

ASKED = {
    "plot": "draws a data set",
    "verify": "checks a data set or a cache",
    "repair": "mends a cache",
    "neighbours": "looks into a cache",
}
"""What is asked of one thing alone."""
OF_CACHES = ("repair", "neighbours")
"""And only where that is a cache."""


def inspect(what: Sequence[str], config: InspectConfig, progress: Progress) -> list[Table]:
    """What a workspace holds, one thing's details, or what differs between runs.

    Args:
        what: A data set's, run's or cache's name or path, a cache's fingerprint, a file of weights, or a PLM's name or
            folder; several runs to compare; nothing lists all.
        config: The workspace, and what is shown of the thing or done to it.
        progress: Where it tells what it finds.

    Raises:
        UserError: nothing is called so, it is damaged, or several are named that are not all runs.
    """
    workspace, options = config.workspace.open(), config.shown
    if not what:
        tables = _all(workspace, options, progress)
    elif len(what) == 1:
        tables = _details(what[0], workspace, options, progress)
    else:
        tables = _comparison(what, workspace, options)
    return tables if options.sort is None else sorted_tables(tables, options.sort)


def _all(workspace: Workspace, options: InspectOptions, progress: Progress) -> list[Table]:
    for flag, kind in ASKED.items():
        if getattr(options, flag):
            raise UserError(f"--{flag} {kind}: which one?", f"Name it: `plmrs inspect NAME --{flag}`.")
    return lists(workspace, progress, options.as_json)


def _details(what: str, workspace: Workspace, options: InspectOptions, progress: Progress) -> list[Table]:
    dataset = _dataset(what, workspace)
    if dataset is not None:
        return _dataset_tables(open_dataset(*dataset), options)
    if options.plot:
        progress.warn("--plot draws data sets only.")
    if is_checkpoint(what):
        _refuse(what, "a checkpoint", options)
        return checkpoint_tables(Path(what))
    if _is_run(what, workspace):
        _refuse(what, "a run", options)
        return run_tables(open_run(workspace, what))
    cache = _cache(what, workspace)
    if cache is not None:
        return _cache_tables(cache, workspace, options, progress)
    if what == ALIAS or "/" in what or (Path(what) / "config.json").is_file():
        _refuse(what, "a language model", options)
        return plm_tables(_plm(what, workspace), options)
    raise _unknown(what, workspace)


def _comparison(what: Sequence[str], workspace: Workspace, options: InspectOptions) -> list[Table]:
    for each in what:
        _refuse(each, "one of several", options)
        if _dataset(each, workspace) is not None or not _is_run(each, workspace):
            if _is_known(each, workspace):
                raise UserError(f"Only runs are compared; {each} is none.", "Name one thing at a time.")
            raise _unknown(each, workspace)
    return compared([open_run(workspace, each) for each in what])


def _is_known(what: str, workspace: Workspace) -> bool:
    return Path(what).exists() or what in _known(workspace)


def _dataset(what: str, workspace: Workspace) -> tuple[Workspace, str] | None:
    """The data set of a name or path, and the workspace it lies in."""
    if what in prepared_names(workspace):
        return workspace, what
    path = Path(what)
    if (path / DATASET_MANIFEST).is_file() and path.parent.name == "prepared":
        return Workspace(path.absolute().parents[1], workspace.runs), path.name
    return None


def _is_run(what: str, workspace: Workspace) -> bool:
    path = Path(what)
    other = path.suffix == ".zarr" or any((path / file).is_file() for file in (CACHE_MANIFEST, "config.json"))
    return (path.exists() and not other) or (not path.is_absolute() and workspace.run(what).exists())


def _cache(what: str, workspace: Workspace) -> Cache | None:
    """The cache of a name, stem or fingerprint, or of a path or URL.

    Raises:
        UserError: several are called so, or it is damaged.
    """
    # By the names of folders, so that one that cannot be opened says why.
    paths = [path for path in _cache_paths(workspace) if what in {path.name, path.stem, path.stem.rpartition("-")[2]}]
    if len(paths) > 1:
        both = " or ".join(map(str, paths))
        raise UserError(f"{len(paths)} caches are called {what}.", f"Name one by its path: {both}.")
    if paths:
        return open_cache(paths[0])
    path = Path(what)
    return open_cache(what) if "://" in what or path.suffix == ".zarr" or (path / CACHE_MANIFEST).is_file() else None


def _cache_paths(workspace: Workspace) -> Iterator[Path]:
    caches = workspace.caches("any").parent
    return (path for path in sorted(caches.glob("*/*/*.zarr")) if PARTIAL not in path.name)


def _dataset_tables(dataset: Dataset, options: InspectOptions) -> list[Table]:
    _refuse(dataset.name, "a data set", options, OF_CACHES)
    sound = [check_files(dataset)] if options.verify else []
    first, *others = dataset_tables(dataset, options.plot, options.as_json)
    return [replace(first, notes=[*first.notes, *sound]), *others]


def _cache_tables(cache: Cache, workspace: Workspace, options: InspectOptions, progress: Progress) -> list[Table]:
    notes, above = [], cache.path.absolute().parents
    if cache.url is None and len(above) > 3 and above[2].name == "cache":
        workspace = Workspace(above[3], workspace.runs)  # It may lie in another one, with its data set.
    if options.repair:
        notes.append(repaired(cache, workspace, options, progress))
    if options.verify:
        notes.append(verified(cache, workspace, options, progress))
    vectors: list[Table] = []
    # All of an array is read for a sample of it, which is not done over a network unasked.
    if cache.url is None:
        try:
            vectors = vector_tables(cache)
        except UserError as error:
            notes.append(f"Vectors are not told: {error.message}")
    near: list[Table] = []
    if options.neighbours is not None:
        near = neighbour_tables(cache, options.neighbours, workspace, options.as_json)
    return [*cache_tables(cache, *notes), *vectors, *near]


def _refuse(what: str, kind: str, options: InspectOptions, flags: Sequence[str] = ("verify", *OF_CACHES)) -> None:
    """Refuse what is not done to such a thing."""
    for flag in flags:
        if getattr(options, flag):
            can = "data sets and caches" if flag == "verify" else "caches"
            raise UserError(f"--{flag} is for {can}; {what} is {kind}.", f"`plmrs inspect` lists {can}.")


def _plm(what: str, workspace: Workspace) -> Plm:
    try:
        return find_configuration(what)
    except UserError as error:
        told = without_flag(error)
        near = "" if Path(what).exists() else did_you_mean(what, _known(workspace))
        if near:
            raise UserError(f"There is no data set, cache or run {what}, and {told.message}", near) from error
        raise told from error


def _unknown(what: str, workspace: Workspace) -> UserError:
    known = _known(workspace)
    there = f"There are: {', '.join(known)}." if known else "Make a data set first: `plmrs prepare demo`."
    return UserError(f"There is no data set, cache or run {what}.", did_you_mean(what, [*known, ALIAS]) or there)


def _known(workspace: Workspace) -> list[str]:
    """What can be named."""
    caches = [path.stem for path in _cache_paths(workspace)]
    return [*prepared_names(workspace), *run_names(workspace), *caches]
