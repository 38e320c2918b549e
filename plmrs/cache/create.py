"""Making a cache: what it will say of itself, how it is cut into units of work, and its empty arrays."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plmrs import __version__
from plmrs.cache.integrity import DONE, cache_fingerprint
from plmrs.cache.store import FINAL, FORMAT, Cache, writing
from plmrs.data.dataset import Dataset
from plmrs.plm.checkpoint import Plm
from plmrs.plm.pooling import POOLINGS
from plmrs.workspace import PARTIAL, Workspace, atomic_folder

CHUNK_BYTES = 32 * 2**20
"""Largest chunk; many small files would exhaust file handles, larger ones make a lost unit dear."""
LEAST_UNITS = 8
"""Units a small set is cut in, so that it can be resumed and shared as well …"""
LEAST_ROWS = 256
"""… as long as a unit keeps this many items, enough to be sorted by length."""


def new_manifest(dataset: Dataset, plm: Plm, tokenized_len: int, precision: str) -> dict[str, Any]:
    """What a cache of these will say of itself, its fingerprint included."""
    manifest = {
        "format": FORMAT,
        "boundary": FINAL,
        "dataset": dataset.name,
        "texts_fingerprint": dataset.texts_fingerprint,
        "n_items": dataset.n_items,
        "plm": plm.name,
        "plm_identity": plm.identity,
        "plm_licence": plm.licence,
        "tokenized_len": tokenized_len,
        "precision": precision,
        "dtype": "float16",
        "poolings": list(POOLINGS),
        "hidden_size": plm.hidden_size,
        "unit_rows": unit_rows(dataset.n_items, plm.hidden_size),
        "plmrs": __version__,
    }
    return {**manifest, "fingerprint": cache_fingerprint(manifest)}


def unit_rows(n_items: int, hidden_size: int) -> int:
    """Items of a unit: an eighth of the set, but 256 at least and no more than fill a chunk of 32 MiB in float16."""
    return min(max(1, CHUNK_BYTES // (2 * hidden_size)), max(LEAST_ROWS, -(-n_items // LEAST_UNITS)))


def cache_path(workspace: Workspace, plm: Plm, manifest: Mapping[str, Any]) -> Path:
    """Where the cache with this manifest lies."""
    name = f"{manifest['boundary']}-{manifest['fingerprint']}.zarr"
    return workspace.caches(str(manifest["dataset"])) / plm.folder_name / name


def create_cache(path: Path, manifest: Mapping[str, Any]) -> Cache:
    """Make an empty cache: it appears whole, with all its arrays and no unit done.

    Raises:
        UserError: the disk is full or cannot be written.
    """
    import zarr
    from zarr.codecs import Crc32cCodec

    with writing(path), atomic_folder(path) as folder:
        group = zarr.create_group(store=folder, zarr_format=3, attributes=dict(manifest))
        group.create_group(DONE)
        for name in manifest["poolings"]:
            group.create_array(
                name,
                shape=(manifest["n_items"], manifest["hidden_size"]),
                chunks=(manifest["unit_rows"], manifest["hidden_size"]),
                dtype="float16",
                filters=None,
                compressors=[Crc32cCodec()],
                fill_value=float("nan"),
            )
    return Cache(path, dict(manifest))


def remove_partial(path: Path) -> None:
    """Remove what a killed process left half-written in a cache or beside it; call it under the cache's lock."""
    for folder in path.parent.glob(f"{path.name}{PARTIAL}*"):
        shutil.rmtree(folder)
    for file in [*path.rglob("*.partial"), *path.rglob(f"*{PARTIAL}*")]:
        file.unlink(missing_ok=True)
