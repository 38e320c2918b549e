"""Which texts make a unit of work.

It follows from the texts' lengths and the PLM's width alone. So the caches of all boundaries, dtypes and devices have
the same units, and a unit is made from the same unit of an earlier boundary.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_TOKENS = 4_096
"""Tokens of a unit at least, enough to occupy a device …"""
MOST_TOKENS = 65_536
"""… and at most: what is lost with a killed process is a unit."""
MOST_UNITS = 8
"""Units a small set is cut in, so that it can be resumed and shared as well."""
MOST_BYTES = 64 * 2**20
"""A unit's states in float32 at most."""
MORE_TEXTS = 1.25
"""Texts of a unit at most, as a multiple of its share. All chunks of an array are as large as its fullest one, and the
shortest texts would make it several times as large as the others."""


@dataclass(frozen=True, eq=False)
class Layout:
    """The units of work: unit u holds texts bounds[u] … bounds[u + 1] - 1.

    Attributes:
        bounds: First text of each unit, and the number of texts. [units + 1] int64
        tokens: Tokens of all texts before each unit, and of all. [units + 1] int64
    """

    bounds: NDArray[np.int64]
    tokens: NDArray[np.int64]

    @property
    def n_units(self) -> int:
        """Units."""
        return len(self.bounds) - 1

    @property
    def most_texts(self) -> int:
        """Texts of the unit that has most: rows of a chunk of pooled states."""
        return int(np.diff(self.bounds).max())

    @property
    def most_tokens(self) -> int:
        """Tokens of the unit that has most: rows of a chunk of hidden states."""
        return int(np.diff(self.tokens).max())


def new_layout(length: NDArray[np.integer[Any]], hidden_size: int) -> Layout:
    """Cut texts into units of consecutive ones.

    Args:
        length: Tokens of each text, the longest first. [texts]
        hidden_size: Width H of the PLM's states.
    """
    ends = np.concatenate([[0], np.cumsum(length, dtype=np.int64)])
    total = int(ends[-1])
    most = min(max(-(-total // MOST_UNITS), LEAST_TOKENS), MOST_TOKENS, MOST_BYTES // (4 * hidden_size))
    most = max(most, int(length[0]))
    most_texts = max(1, int(MORE_TEXTS * len(length) * most / total))
    bounds = [0]
    while bounds[-1] < len(length):
        start = bounds[-1]
        fitting = int(np.searchsorted(ends, ends[start] + most, side="right")) - 1
        bounds.append(min(fitting, start + most_texts))
    return Layout(np.array(bounds, np.int64), ends[bounds])
