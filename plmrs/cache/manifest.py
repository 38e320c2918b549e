"""What a cache says of itself, as the attributes of its Zarr group."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plmrs.cache.dtypes import STORED
from plmrs.cache.files import Place, read_texts
from plmrs.errors import UserError
from plmrs.workspace import check_format, fingerprint

FORMAT = 2
FINAL = "final"
"""The boundary behind the last block and the final norm, where pooled states are kept."""
HIDDEN = "hidden"
"""The array of the states of all tokens."""
MANIFEST = "zarr.json"
REMOVE = "Remove {} and run `plmrs preinfer` again."

DEPENDS = (
    "format", "boundary", "blocks", "texts_fingerprint", "n_items", "plm_identity", "tokenizer_identity",
    "tokenized_len", "precision", "dtype", "poolings", "keeps_tokens", "source", "hidden_size", "text_table", "n_texts",
    "n_tokens", "n_units", "unit_texts", "unit_tokens",
)  # fmt: skip
"""What of a manifest decides the bytes of its cache, and so makes its fingerprint."""
NAMES = ("dataset", "plm", "plm_licence")
"""What a manifest tells besides."""


def boundary_name(blocks: int, n_blocks: int) -> str:
    """What the boundary behind a PLM's first `blocks` blocks is called: `block10`, or `final` behind all of them."""
    return FINAL if blocks == n_blocks else f"block{blocks}"


def cache_fingerprint(manifest: Mapping[str, Any]) -> str:
    """The fingerprint that a cache with this manifest has."""
    return fingerprint({key: manifest.get(key) for key in DEPENDS})


def signed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest with its fingerprint, and with a checksum over all of it, since names are relied on as well."""
    content = {**manifest, "fingerprint": cache_fingerprint(manifest)}
    return {**content, "checksum": fingerprint(content)}


def folder_name(manifest: Mapping[str, Any]) -> str:
    """The name of the folder that a cache with this manifest lies in."""
    return f"{manifest['boundary']}-{manifest['fingerprint']}.zarr"


def arrays(manifest: Mapping[str, Any]) -> dict[str, int]:
    """The arrays of states, and the rows of a chunk of each."""
    hidden = {HIDDEN: int(manifest["unit_tokens"])} if manifest["keeps_tokens"] else {}
    return dict.fromkeys(manifest["poolings"], int(manifest["unit_texts"])) | hidden


def n_bytes(manifest: Mapping[str, Any]) -> int:
    """Bytes of the states on disk when all units are done, what fills up the chunks included."""
    row = int(manifest["hidden_size"]) * STORED[manifest["dtype"]].itemsize
    return int(manifest["n_units"]) * sum(arrays(manifest).values()) * row


def read_manifest(place: Place) -> dict[str, Any]:
    """The manifest of the cache at a place.

    Raises:
        UserError: there is none, it is damaged or another format's, or the folder's name is that of another cache.
    """
    text = read_texts(place, [MANIFEST]).get(MANIFEST, "")
    try:
        manifest: dict[str, Any] = json.loads(text)["attributes"]
        version = manifest["format"]
        if version == FORMAT and not {*DEPENDS, *NAMES, "fingerprint", "checksum"} <= set(manifest):
            raise KeyError("fingerprint")
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{place} is no cache of plmrs, or a damaged one.", "`plmrs inspect` lists caches.") from None
    check_format(str(place), version, FORMAT, f"remove {place} and run `plmrs preinfer` again")
    if not _is_plausible(manifest):
        raise UserError(f"The manifest of the cache {place} is damaged: its sizes are none.", REMOVE.format(place))
    unsigned = {key: value for key, value in manifest.items() if key not in {"fingerprint", "checksum"}}
    if signed(unsigned) != manifest:
        raise UserError(f"The manifest of the cache {place} is damaged: its fingerprint differs.", REMOVE.format(place))
    name = Path(str(place)).name
    # A folder that was given a name of one's own says nothing.
    if re.fullmatch(r"(final|block\d+)-[0-9a-f]{12}\.zarr", name) and name != folder_name(manifest):
        raise UserError(
            f"{place} holds another cache, {folder_name(manifest)} of {manifest['plm']}.",
            "Move it back to where it was made, or remove it.",
        )
    return manifest


def _is_plausible(manifest: Mapping[str, Any]) -> bool:
    """Whether the sizes of a manifest can be those of a cache: its checksum says who wrote it as little as any."""
    sizes = [manifest[key] for key in ("n_items", "n_texts", "n_units", "unit_texts", "unit_tokens", "hidden_size")]
    poolings = manifest["poolings"]
    return (
        all(isinstance(size, int) and not isinstance(size, bool) and 1 <= size < 2**31 for size in sizes)
        and manifest["n_units"] <= manifest["n_texts"] <= manifest["n_items"]
        and isinstance(manifest["dtype"], str)
        and manifest["dtype"] in STORED
        and isinstance(manifest["blocks"], int)
        and isinstance(poolings, list)
        and all(pooling in ("mean", "last", "cls") for pooling in poolings)
        and all(isinstance(manifest[key], str) for key in ("dataset", "plm", "boundary"))
    )
