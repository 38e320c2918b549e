"""Hidden states on disk: a Zarr v3 group a cache, opened, written a unit at a time, and read; torch is not needed.

A unit of work is a run of items whose rows fill exactly one chunk of each array, so that no two processes ever write to
one chunk, and what is lost with a killed process is a unit at most.

    <plm>/final-<fingerprint>.zarr/
        zarr.json             the manifest, as the group's attributes
        mean/ last/ cls/      [items, H] float16, row i is item i + 1; uncompressed, with a CRC-32C a chunk
        done/<unit>.json      written after the unit's chunks
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plmrs.cache.integrity import DEPENDS, DONE, cache_fingerprint, done_counts, done_units, mark_done, verified_rows
from plmrs.data.dataset import Dataset
from plmrs.errors import UserError
from plmrs.plm.checkpoint import known_identity
from plmrs.workspace import PARTIAL, Workspace

FORMAT = 1
FINAL = "final"
"""The boundary behind the last block and the final norm, where pooled states are kept."""


@dataclass(frozen=True)
class Cache:
    """The pooled states of one PLM over the items of one data set.

    Attributes:
        path: Its folder, a Zarr group.
        manifest: Data set, PLM, options and format it was made with.
    """

    path: Path
    manifest: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Hash of everything its values depend on."""
        return str(self.manifest["fingerprint"])

    @property
    def dataset(self) -> str:
        """The data set it was made for."""
        return str(self.manifest["dataset"])

    @property
    def plm(self) -> str:
        """The PLM's name."""
        return str(self.manifest["plm"])

    @property
    def n_items(self) -> int:
        """Items, padding not counted: rows of each array."""
        return int(self.manifest["n_items"])

    @property
    def hidden_size(self) -> int:
        """Width H of a vector."""
        return int(self.manifest["hidden_size"])

    @property
    def poolings(self) -> tuple[str, ...]:
        """The arrays it holds."""
        return tuple(self.manifest["poolings"])

    @property
    def n_units(self) -> int:
        """Units of work."""
        return -(-self.n_items // int(self.manifest["unit_rows"]))

    @property
    def is_complete(self) -> bool:
        """Whether every unit is done."""
        return not self.units_missing()

    @property
    def n_bytes(self) -> int:
        """Bytes of its values when complete."""
        return self.n_items * self.hidden_size * len(self.poolings) * 2

    def rows(self, unit: int) -> slice:
        """The rows of a unit; row i is item i + 1."""
        size = int(self.manifest["unit_rows"])
        return slice(unit * size, min((unit + 1) * size, self.n_items))

    def units_missing(self) -> list[int]:
        """The units without a done-mark, in order."""
        done = done_units(self.path)
        return [unit for unit in range(self.n_units) if unit not in done]

    def counts(self) -> dict[str, int]:
        """Sums over the finished units: `items`, `texts` that ran, `tokens` that ran."""
        done = [done_counts(self.path, unit) for unit in range(self.n_units) if unit in done_units(self.path)]
        return {name: sum(unit.get(name, 0) for unit in done) for name in ("items", "texts", "tokens")}

    def read(self, pooling: str) -> NDArray[np.float16]:
        """All vectors [items, H] of one pooling; row i is item i + 1.

        Raises:
            UserError: it does not hold this pooling, is not complete, or a unit is damaged.
        """
        if pooling not in self.poolings:
            raise UserError(f"The cache {self.path} holds {', '.join(self.poolings)}, not {pooling}.")
        missing = self.units_missing()
        if missing:
            raise UserError(
                f"The cache {self.path} is not complete: {len(missing)} of {self.n_units} units are missing.",
                "Complete it with the `plmrs preinfer` that began it.",
            )
        array = self._array(pooling)
        vectors = np.empty((self.n_items, self.hidden_size), np.float16)
        for unit in range(self.n_units):
            vectors[self.rows(unit)] = verified_rows(self, pooling, array, unit)
        return vectors

    def write_unit(self, unit: int, pooled: Mapping[str, NDArray[np.float16]], texts: int, tokens: int) -> None:
        """Write a unit's vectors [rows of the unit, H] a pooling, then its mark; `texts` and `tokens` are what ran.

        Raises:
            UserError: the disk is full or cannot be written.
        """
        rows = self.rows(unit)
        with writing(self.path):
            for name in self.poolings:
                self._array(name, "r+")[rows] = pooled[name]
            mark_done(self.path, unit, {"items": rows.stop - rows.start, "texts": texts, "tokens": tokens})

    def _array(self, name: str, mode: str = "r") -> Any:
        import zarr

        shape = (self.n_items, self.hidden_size)
        try:
            array = zarr.open_array(self.path / name, mode=mode, zarr_format=3)
            if array.shape == shape and array.chunks[0] == self.manifest["unit_rows"] and array.dtype == np.float16:
                return array
            reason = f"{array.shape} {array.dtype} in chunks of {array.chunks} does not fit its manifest"
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = str(error) or type(error).__name__
        raise UserError(f"{name} in the cache {self.path} is damaged: {reason}.", _REMOVE.format(self.path))


_REMOVE = "Remove {} and run `plmrs preinfer` again."


def open_cache(path: Path) -> Cache:
    """Open a cache; its values are checked when they are read.

    Raises:
        UserError: it is no cache, another format's, or its manifest is damaged.
    """
    if not path.is_dir():
        raise UserError(f"There is no cache at {path}.", "`plmrs inspect` lists caches.")
    try:
        manifest = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]
        if not {*DEPENDS, "dataset", "plm", "fingerprint"} <= set(manifest) and manifest.get("format") == FORMAT:
            raise KeyError("fingerprint")
        version = manifest["format"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path} is no cache of plmrs, or a damaged one.", "`plmrs inspect` lists caches.") from None
    if version != FORMAT:
        raise UserError(f"{path} has format {version}, this plmrs reads {FORMAT}.", _REMOVE.format(path))
    if cache_fingerprint(manifest) != manifest["fingerprint"]:
        raise UserError(f"The manifest of the cache {path} is damaged: its fingerprint differs.", _REMOVE.format(path))
    return Cache(path, manifest)


def list_caches(workspace: Workspace, dataset: str | None = None) -> list[Cache]:
    """The caches of the workspace, or of one data set, the newest first; what cannot be opened is left out."""
    datasets = [workspace.caches(dataset)] if dataset else workspace.caches("any").parent.glob("*")
    found = []
    for path in (path for folder in datasets for path in folder.glob("*/*.zarr") if PARTIAL not in path.name):
        # What is damaged cannot be used; the command that names it says why.
        with suppress(UserError):
            found.append(open_cache(path))
    return sorted(found, key=lambda cache: ((cache.path / DONE).stat().st_mtime, cache.path.name), reverse=True)


def find_cache(
    workspace: Workspace, dataset: Dataset, plm_name: str | None, tokenized_len: int, precision: str | None = None
) -> Cache | None:
    """The newest complete cache that fits a data set.

    Args:
        workspace: Where it is looked for.
        dataset: Whose items and texts it must hold, as they are now.
        plm_name: Whose states it must hold, with the weights they are now; None for any PLM's. A hub name is not looked
            up at the hub: a cache of it serves without network.
        tokenized_len: Tokens kept of a text.
        precision: Of weights and states, `32` or `bf16`; None for either.

    Raises:
        UserError: `plm_name` is a folder whose files are damaged.
    """
    identity = known_identity(plm_name) if plm_name else None
    wanted = {"texts_fingerprint": dataset.texts_fingerprint, "tokenized_len": tokenized_len}
    if precision is not None:
        wanted["precision"] = precision
    if identity is not None:
        wanted["plm_identity"] = identity
    elif plm_name is not None:
        wanted["plm"] = plm_name
    for cache in list_caches(workspace, dataset.name):
        if all(cache.manifest[key] == value for key, value in wanted.items()) and cache.is_complete:
            return cache
    return None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write into one line for the user; what was finished before stays."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"Cannot write the cache {path}: {error.strerror or error}.",
            "Free space or mend its permissions, then run the same command again: finished units are kept.",
        ) from error
