"""Opening caches, listing them, and finding the one that fits."""

from contextlib import suppress
from pathlib import Path

from plmrs.cache.manifest import FINAL, read_manifest
from plmrs.cache.marks import DONE
from plmrs.cache.store import Cache
from plmrs.data.dataset import Dataset
from plmrs.errors import UserError
from plmrs.plm.checkpoint import known_identity
from plmrs.workspace import PARTIAL, Workspace, newest_first


def open_cache(place: Path | str, memory: int = 0, verified: bool = True) -> Cache:
    """Open a cache; its states are checked when they are read.

    Args:
        place: Its folder, or a URL that fsspec knows, as `s3://bucket/….zarr`.
        memory: Bytes up to which an array is held in memory when it is first gathered from.
        verified: False trusts a local cache, and does not read all of an array before the first rows are gathered.

    Raises:
        UserError: it is no cache, another format's, its manifest is damaged, or the store cannot be reached.
    """
    if isinstance(place, str) and "://" in place:
        url = place.rstrip("/")
        return Cache(Path(url.partition("://")[2]), read_manifest(url), url, memory, verified)
    path = Path(place)
    if not path.is_dir():
        raise UserError(f"There is no cache at {path}.", "`plmrs inspect` lists caches.")
    return Cache(path, read_manifest(path), None, memory, verified)


def cache_folders(workspace: Workspace, dataset: str | None = None) -> list[Path]:
    """The folders of the caches of the workspace, or of one data set, the newest first."""
    datasets = [workspace.caches(dataset)] if dataset else workspace.caches("any").parent.glob("*")
    found = [path for folder in datasets for path in folder.glob("*/*.zarr") if PARTIAL not in path.name]
    # Its time is when a unit was done last.
    marks = newest_first(path / DONE if (path / DONE).is_dir() else path for path in found)
    return [path.parent if path.name == DONE else path for path in marks]


def list_caches(workspace: Workspace, dataset: str | None = None) -> list[Cache]:
    """The caches of the workspace, or of one data set, the newest first; what cannot be opened is left out."""
    found = []
    for path in cache_folders(workspace, dataset):
        # What is damaged cannot be used; the command that names it says why.
        with suppress(UserError):
            found.append(open_cache(path))
    return found


def find_cache(
    workspace: Workspace,
    dataset: Dataset,
    plm_name: str | None,
    tokenized_len: int,
    precision: str | None = None,
    boundary: str = FINAL,
    dtype: str | None = None,
    keeps_tokens: bool = False,
) -> Cache | None:
    """The newest complete cache that fits a data set.

    Args:
        workspace: Where it is looked for.
        dataset: Whose items and texts it must hold, as they are now.
        plm_name: Whose states it must hold, with the weights they are now; None for any PLM's, but for one whose files
            have changed since. A hub name is not looked up at the hub: a cache of it serves without network.
        tokenized_len: Tokens kept of a text.
        precision: Of weights and states, `32`, `bf16` or `fp16`; None for any.
        boundary: Its boundary's name; pooled states are at `final` alone.
        dtype: Of the numbers on disk; None for any.
        keeps_tokens: Whether it must hold the states of all tokens.

    Raises:
        UserError: `plm_name` is a folder whose files are damaged.
    """
    identity = known_identity(plm_name) if plm_name else None
    wanted = {
        "texts_fingerprint": dataset.texts_fingerprint,
        "tokenized_len": tokenized_len,
        "boundary": boundary,
        "precision": precision,
        "dtype": dtype,
        "plm_identity": identity,
        "plm": plm_name if identity is None else None,
        "keeps_tokens": keeps_tokens or None,
    }
    for cache in list_caches(workspace, dataset.name):
        held = cache.manifest
        if not all(value is None or held[key] == value for key, value in wanted.items()) or not cache.is_complete:
            continue
        if plm_name is not None or _is_current(cache):
            return cache
    return None


def _is_current(cache: Cache) -> bool:
    """Whether the PLM of a cache is as it was, so far as its files are here."""
    with suppress(UserError):  # The cache serves without its PLM.
        return known_identity(cache.plm) in {None, cache.manifest["plm_identity"]}
    return True
