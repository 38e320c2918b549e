"""What a cache tells of itself, by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plmrs.cache.manifest import arrays, n_bytes


@dataclass(frozen=True)
class Facts:
    """What a cache was made from and holds.

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
