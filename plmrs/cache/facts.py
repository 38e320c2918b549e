"""What a cache tells of itself, in its manifest, its tables of texts and its done-marks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from plmrs.cache.files import DamagedError, Place, read_array
from plmrs.cache.layout import Layout, new_layout
from plmrs.cache.manifest import REMOVE, arrays, n_bytes
from plmrs.cache.marks import Mark, Marks, done_units, read_marks
from plmrs.cache.texts import Texts
from plmrs.errors import UserError


@dataclass(frozen=True)
class Facts:
    """What a cache was made from and holds.

    Attributes:
        path: Its folder, a Zarr group.
        manifest: Data set, PLM, options and format it was made with.
        url: Where it lies when that is no local folder; it is read only then, and `path` serves for its name.
    """

    path: Path
    manifest: Mapping[str, Any]
    url: str | None = None

    @property
    def place(self) -> Place:
        """Where it lies."""
        return self.url or self.path

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
    def boundary(self) -> str:
        """Its boundary's name, `final` or as `block10`."""
        return str(self.manifest["boundary"])

    @property
    def blocks(self) -> int:
        """Blocks before its boundary."""
        return int(self.manifest["blocks"])

    @property
    def dtype(self) -> str:
        """Of its numbers on disk: float16, bfloat16 or float32."""
        return str(self.manifest["dtype"])

    @property
    def n_items(self) -> int:
        """Items, padding not counted."""
        return int(self.manifest["n_items"])

    @property
    def hidden_size(self) -> int:
        """Width H of a vector."""
        return int(self.manifest["hidden_size"])

    @property
    def poolings(self) -> tuple[str, ...]:
        """The pooled states it holds; none before the last block."""
        return tuple(self.manifest["poolings"])

    @property
    def arrays(self) -> tuple[str, ...]:
        """All states it holds: its poolings, and `hidden` where those of all tokens are kept."""
        return tuple(arrays(self.manifest))

    @property
    def n_units(self) -> int:
        """Units of work."""
        return int(self.manifest["n_units"])

    @property
    def n_bytes(self) -> int:
        """Bytes of its states when complete."""
        return n_bytes(self.manifest)

    @cached_property
    def texts(self) -> Texts:
        """The distinct texts, and which of them each item has.

        Raises:
            UserError: the tables are damaged.
        """
        n_texts = int(self.manifest["n_texts"])
        try:
            texts = Texts(
                read_array(self.place, "length", n_texts), read_array(self.place, "text_of_item", self.n_items)
            )
            if texts.fingerprint == self.manifest["text_table"] and texts.are_sound:
                return texts
            reason = "they are not those it was made with"
        except DamagedError as error:
            reason = str(error)
        raise UserError(
            f"The tables of texts in the cache {self.place} are damaged: {reason}.", REMOVE.format(self.place)
        )

    @cached_property
    def layout(self) -> Layout:
        """Which texts are in which unit.

        Raises:
            UserError: the tables of texts are damaged, or its manifest tells of other units.
        """
        layout = new_layout(self.texts.length, self.hidden_size)
        if (layout.n_units, layout.most_texts, layout.most_tokens) != tuple(
            self.manifest[key] for key in ("n_units", "unit_texts", "unit_tokens")
        ):
            raise UserError(
                f"The cache {self.place} is damaged: its units are not those of its texts.", REMOVE.format(self.place)
            )
        return layout

    @property
    def is_complete(self) -> bool:
        """Whether every unit is done."""
        return not self.units_missing()

    def units_missing(self) -> list[int]:
        """The units without a done-mark, in order."""
        done = done_units(self.place)
        return [unit for unit in range(self.n_units) if unit not in done]

    def counts(self) -> dict[str, float]:
        """Sums over the finished units: `items`, `texts`, `tokens`, and what `write_unit` was given besides."""
        sums: dict[str, float] = dict.fromkeys(("items", "texts", "tokens"), 0)
        for mark in self._marks(range(self.n_units)).values():
            for name, value in mark.counts.items() if isinstance(mark, Mark) else ():
                sums[name] = sums.get(name, 0) + value
        return sums

    def _marks(self, units: Iterable[int]) -> Marks:
        return read_marks(self.place, self.fingerprint, units)
