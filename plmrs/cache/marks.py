"""Done-marks: a unit of work counts as done only when its mark, written after its chunks, lies in `done`.

A mark names its unit and its cache and holds the checksum of each chunk: a sound chunk of another unit, or of another
cache, is found by it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from plmrs.cache.files import DamagedError, Place, list_names, read_texts
from plmrs.workspace import write_json

DONE = "done"


@dataclass(frozen=True)
class Mark:
    """What a done-mark says of its unit.

    Attributes:
        checksums: The CRC-32C of the chunk of each array.
        counts: What the unit holds and took, as in `texts` and `tokens`.
    """

    checksums: Mapping[str, int]
    counts: Mapping[str, float]


Marks: TypeAlias = Mapping[int, Mark | DamagedError]
"""Marks of units; in the place of a damaged one, why it is."""


def mark_done(path: Path, cache: str, unit: int, mark: Mark) -> None:
    """Say that a unit's chunks are written; `cache` is the fingerprint of its cache."""
    content = {"cache": cache, "unit": unit, "crc32c": dict(mark.checksums), "counts": dict(mark.counts)}
    write_json(path / DONE / f"{unit}.json", content)


def done_units(place: Place) -> set[int]:
    """The units with a done-mark."""
    stems = (name.removesuffix(".json") for name in list_names(place, DONE) if name.endswith(".json"))
    return {int(stem) for stem in stems if stem.isdecimal()}


def read_marks(place: Place, cache: str, units: Iterable[int]) -> Marks:
    """The done-marks of some units, those that are absent left out.

    Raises:
        UserError: the store cannot be reached.
    """
    names = {f"{unit}.json": unit for unit in units}
    return {names[name]: _mark(text, cache, names[name]) for name, text in read_texts(place, [*names], DONE).items()}


def _mark(text: str, cache: str, unit: int) -> Mark | DamagedError:
    try:
        content = json.loads(text)
        mark = Mark(dict(content["crc32c"]), {name: value + 0 for name, value in content["counts"].items()})
        named, of = content["unit"], content["cache"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return DamagedError("its done-mark is damaged")
    if of != cache:
        return DamagedError(f"its done-mark is that of another cache, {of}")
    if named != unit:
        return DamagedError(f"its done-mark is that of unit {named}")
    return mark
