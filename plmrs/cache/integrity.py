"""Why a cache can be believed: done-marks written after the data, checksums read with it, fingerprints compared first.

zarr gives a missing chunk out as its fill value without a word. So the fill value is NaN, which no stored vector holds,
and a unit of work counts as done only when its mark, written last, lies in `done`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plmrs.data.dataset import Dataset
from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm
from plmrs.workspace import fingerprint, read_json, write_json

if TYPE_CHECKING:
    from plmrs.cache.store import Cache

DONE = "done"

DEPENDS = (
    "format", "boundary", "texts_fingerprint", "n_items", "plm_identity", "tokenized_len", "precision", "dtype",
    "poolings", "hidden_size", "unit_rows",
)  # fmt: skip
"""What of a manifest decides the bytes of its cache, and so makes its fingerprint."""


def cache_fingerprint(manifest: Mapping[str, Any]) -> str:
    """The fingerprint that a cache with this manifest has."""
    return fingerprint({key: manifest.get(key) for key in DEPENDS})


def mark_done(path: Path, unit: int, counts: Mapping[str, int]) -> None:
    """Say that a unit's chunks are written; `counts` holds what it took, as in texts and tokens."""
    write_json(path / DONE / f"{unit}.json", counts)


def done_units(path: Path) -> set[int]:
    """The units with a done-mark."""
    return {int(mark.stem) for mark in (path / DONE).glob("*.json") if mark.stem.isdecimal()}


def done_counts(path: Path, unit: int) -> dict[str, int]:
    """What a finished unit took."""
    return read_json(path / DONE / f"{unit}.json")


def verified_rows(cache: Cache, pooling: str, array: Any, unit: int) -> NDArray[np.float16]:
    """A unit's rows [rows of the unit, H] of the zarr array of a pooling, their checksum compared.

    Raises:
        UserError: its chunk is damaged, cut or gone.
    """
    reason = "its chunk is missing"
    try:
        rows: NDArray[np.float16] = np.asarray(array[cache.rows(unit)])
        if not np.isnan(rows).any():
            return rows
    except (OSError, ValueError) as error:  # zarr raises ValueError for a checksum that does not fit.
        reason = str(error).split(". ")[0].rstrip(".")
    raise UserError(
        f"Unit {unit} of {pooling} in the cache {cache.path} is damaged: {reason}.",
        f"Remove {cache.path / DONE / f'{unit}.json'} and run `plmrs preinfer` as before: it redoes this unit.",
    )


def check_cache(
    cache: Cache, dataset: Dataset, plm: Plm | None = None, tokenized_len: int | None = None, complete: bool = True
) -> None:
    """Compare a cache with what it is to be used for; a PLM or length that is None is not compared.

    Raises:
        UserError: it holds other items or texts, another PLM's states or other lengths, or units are missing; all that
            differs is named.
    """
    differences = cache_differences(cache, dataset, plm, tokenized_len)
    again = f"plmrs preinfer --dataset {dataset.name} --plm {plm.name if plm else cache.plm}"
    if differences:
        raise UserError(f"The cache {cache.path} does not fit: {'; '.join(differences)}.", f"Make one: `{again}`.")
    missing = cache.units_missing()
    if complete and missing:
        raise UserError(
            f"The cache {cache.path} is not complete: {len(missing)} of {cache.n_units} units are missing.",
            f"Complete it: `{again}`.",
        )


def cache_differences(
    cache: Cache, dataset: Dataset, plm: Plm | None = None, tokenized_len: int | None = None
) -> list[str]:
    """What differs between a cache and what it is to be used for, a clause each."""
    found = []
    held = cache.manifest
    if held["texts_fingerprint"] != dataset.texts_fingerprint:
        if held["dataset"] != dataset.name:
            found.append(f"it holds the items of data set {held['dataset']}, not {dataset.name}")
        else:
            found.append(f"items or texts of data set {dataset.name} have changed since")
    if plm is not None and held["plm_identity"] != plm.identity:
        if held["plm"] != plm.name:
            found.append(f"it holds states of {held['plm']}, not {plm.name}")
        else:
            found.append(f"the weights or files of {plm.name} have changed since")
    if tokenized_len is not None and held["tokenized_len"] != tokenized_len:
        found.append(f"it was made with --tokenized-len {held['tokenized_len']}, not {tokenized_len}")
    return found
