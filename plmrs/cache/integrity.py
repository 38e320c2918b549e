"""Whether a cache can be believed, and whether it is the one that is wanted.

zarr gives a missing chunk out as its fill value without a word. So the fill value is NaN, which no stored vector holds;
a unit counts as done only with its mark, and its chunks are compared with the checksums in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from plmrs.cache.marks import DONE, done_units
from plmrs.data.dataset import Dataset
from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm

if TYPE_CHECKING:
    from plmrs.cache.store import Cache


class Damage(NamedTuple):
    """An array of a unit that is not what was written, and the clause that says why."""

    unit: int
    array: str
    reason: str


def drop_units(cache: Cache, units: Iterable[int]) -> None:
    """Remove the done-marks of some units, so that they are made again."""
    for unit in units:
        (cache.path / DONE / f"{unit}.json").unlink(missing_ok=True)


def verify(cache: Cache, advance: Callable[[int], None] | None = None) -> list[Damage]:
    """Read all that is marked as done and compare it with its marks; what is not marked is not named.

    Args:
        cache: Complete or not.
        advance: Called with 1 after every unit.

    Returns:
        What is damaged, by unit.

    Raises:
        UserError: the tables beside the states are damaged, or the store cannot be reached.
    """
    found: list[Damage] = []
    for unit in sorted(done_units(cache.place) & set(range(cache.n_units))):
        found += filter(None, (cache.damage(unit, array) for array in cache.arrays))
        if advance is not None:
            advance(1)
    return found


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
        raise UserError(f"The cache {cache.place} does not fit: {'; '.join(differences)}.", f"Make one: `{again}`.")
    missing = cache.units_missing()
    if complete and missing:
        raise UserError(
            f"The cache {cache.place} is not complete: {len(missing)} of {cache.n_units} units are missing.",
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
