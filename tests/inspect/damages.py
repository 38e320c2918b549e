"""What can befall a cache of three units, and what is then said of it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c

from plmrs.cache.store import Cache


@dataclass(frozen=True)
class Befallen:
    """A kind of damage.

    Attributes:
        do: Does it to a cache's array.
        units: Which units it hits.
        reason: What is said of them.
        all_arrays: Whether it hits every array of theirs.
    """

    do: Callable[[Cache, str], None]
    units: str
    reason: str
    all_arrays: bool = False


def chunk(cache: Cache, array: str, unit: int) -> Path:
    return cache.path / array / "c" / str(unit) / "0"


def flip(cache: Cache, array: str) -> None:
    file = chunk(cache, array, 1)
    content = bytearray(file.read_bytes())
    content[100] ^= 4
    file.write_bytes(content)


def delete(cache: Cache, array: str) -> None:
    chunk(cache, array, 1).unlink()


def cut(cache: Cache, array: str) -> None:
    file = chunk(cache, array, 1)
    file.write_bytes(file.read_bytes()[:1000])


def mark_without_data(cache: Cache, array: str) -> None:
    for name in cache.arrays:
        shutil.rmtree(cache.path / name / "c" / "2")


def mark_of_another_unit(cache: Cache, array: str) -> None:
    shutil.copy(cache.path / "done" / "0.json", cache.path / "done" / "2.json")


def swap_units(cache: Cache, array: str) -> None:
    one, two = chunk(cache, array, 0), chunk(cache, array, 1)
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(kept)


def swap_array(cache: Cache, array: str) -> None:
    """Put what another PLM would have given in an array's place, each chunk with a checksum that fits it."""
    for unit in range(cache.n_units):
        file = chunk(cache, array, unit)
        content = file.read_bytes()[:-4]
        other = content[64:] + content[:64]
        file.write_bytes(other + google_crc32c.value(other).to_bytes(4, "little"))


BEFALLEN = {
    "flipped byte": Befallen(flip, "unit 1", "its checksum does not fit"),
    "deleted chunk": Befallen(delete, "unit 1", "its chunk is missing"),
    "truncated chunk": Befallen(cut, "unit 1", "its chunk has 1,000 bytes, not"),
    "mark without data": Befallen(mark_without_data, "unit 2", "its chunk is missing", True),
    "mark of another unit": Befallen(mark_of_another_unit, "unit 2", "its done-mark is that of unit 0", True),
    "units in each other's place": Befallen(swap_units, "units 0–1", "its chunk is not the one that was written"),
    "another PLM's array": Befallen(swap_array, "units 0–2", "its chunk is not the one that was written"),
}


def put_another_in_its_place(cache: Cache, other: str = "0123456789ab") -> None:
    """Swap the whole folder for one that says of itself, without a fault, that it is another PLM's."""
    from plmrs.cache.manifest import signed

    file = cache.path / "zarr.json"
    content: Any = json.loads(file.read_text())
    held = {key: value for key, value in content["attributes"].items() if key not in {"fingerprint", "checksum"}}
    content["attributes"] = signed({**held, "plm": "someone/other", "plm_identity": f"hub:someone/other@{other}"})
    file.write_text(json.dumps(content))
