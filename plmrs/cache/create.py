"""Making a cache: what it will say of itself, and its empty arrays."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plmrs import __version__
from plmrs.cache.dtypes import STORED, Dtype, fill_value
from plmrs.cache.layout import new_layout
from plmrs.cache.manifest import FINAL, FORMAT, arrays, boundary_name, folder_name, signed
from plmrs.cache.marks import DONE
from plmrs.cache.store import Cache
from plmrs.cache.texts import Texts
from plmrs.cache.write import writing
from plmrs.data.dataset import Dataset
from plmrs.plm.checkpoint import Plm
from plmrs.plm.pooling import POOLINGS
from plmrs.workspace import PARTIAL, Workspace, atomic_folder


def new_manifest(
    dataset: Dataset,
    plm: Plm,
    texts: Texts,
    tokenized_len: int,
    precision: str,
    blocks: int | None = None,
    dtype: Dtype = "float16",
    keep_tokens: bool = False,
    source: str | None = None,
) -> dict[str, Any]:
    """What a cache of these will say of itself, its fingerprint included.

    Args:
        dataset: Whose items.
        plm: Whose states.
        texts: The distinct texts among the items.
        tokenized_len: Tokens kept of a text.
        precision: Of weights and states while the PLM runs.
        blocks: The boundary, as the number of blocks before it; None for all, where pooled states are kept.
        dtype: Of the numbers on disk.
        keep_tokens: Whether the states of all tokens are kept behind the last block as well; elsewhere they always are.
        source: Fingerprint of the less exact cache it is computed from, as `lineage` gives it.
    """
    blocks = plm.n_blocks if blocks is None else blocks
    if not 0 <= blocks <= plm.n_blocks:
        raise ValueError(f"{plm.name} has {plm.n_blocks} blocks, not {blocks}.")
    boundary = boundary_name(blocks, plm.n_blocks)
    layout = new_layout(texts.length, plm.hidden_size)
    return signed(
        {
            "format": FORMAT,
            "boundary": boundary,
            "blocks": blocks,
            "dataset": dataset.name,
            "texts_fingerprint": dataset.texts_fingerprint,
            "n_items": len(texts.text_of_item),
            "plm": plm.name,
            "plm_identity": plm.identity,
            "plm_licence": plm.licence,
            "tokenizer_identity": plm.tokenizer_identity,
            "tokenized_len": tokenized_len,
            "precision": precision,
            "dtype": dtype,
            "poolings": list(POOLINGS) if boundary == FINAL else [],
            "keeps_tokens": keep_tokens or boundary != FINAL,
            "source": source,
            "hidden_size": plm.hidden_size,
            "text_table": texts.fingerprint,
            "n_texts": len(texts),
            "n_tokens": texts.n_tokens,
            "n_units": layout.n_units,
            "unit_texts": layout.most_texts,
            "unit_tokens": layout.most_tokens,
            "plmrs": __version__,
        }
    )


def cache_path(workspace: Workspace, plm: Plm, manifest: Mapping[str, Any]) -> Path:
    """Where the cache with this manifest lies."""
    return workspace.caches(str(manifest["dataset"])) / plm.folder_name / folder_name(manifest)


def create_cache(path: Path, manifest: Mapping[str, Any], texts: Texts) -> Cache:
    """Make an empty cache: it appears whole, with all its arrays and no unit done.

    Raises:
        UserError: the disk is full or cannot be written.
    """
    import zarr

    n_units, width, dtype = manifest["n_units"], manifest["hidden_size"], manifest["dtype"]
    with writing(path), atomic_folder(path) as folder:
        group = zarr.create_group(store=folder, zarr_format=3, attributes=dict(manifest))
        group.create_group(DONE)
        for name, rows in arrays(manifest).items():
            shape = (n_units * rows, width)
            _create(group, name, shape, (rows, width), STORED[dtype], fill_value(dtype))
        for name, values in (("text_of_item", texts.text_of_item), ("length", texts.length)):
            _create(group, name, values.shape, values.shape, values.dtype, -1)[:] = values
    return Cache(path, dict(manifest))


def _create(group: Any, name: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: Any, fill: float) -> Any:
    from zarr.codecs import Crc32cCodec

    return group.create_array(
        name, shape=shape, chunks=chunks, dtype=dtype, filters=None, compressors=[Crc32cCodec()], fill_value=fill
    )


def remove_partial(path: Path) -> None:
    """Remove what a killed process left half-written in a cache or beside it; call it under the cache's lock."""
    for folder in path.parent.glob(f"{path.name}{PARTIAL}*"):
        shutil.rmtree(folder)
    for file in [*path.rglob("*.partial"), *path.rglob(f"*{PARTIAL}*")]:
        file.unlink(missing_ok=True)
