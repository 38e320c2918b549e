"""What numbers are kept as. NumPy has no bfloat16: its bit patterns are kept as uint16, whose array thereby says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Dtype = Literal["float16", "bfloat16", "float32"]

STORED: dict[str, np.dtype[Any]] = {
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),
    "float32": np.dtype("<f4"),
}
"""What an array of each dtype is to NumPy and zarr."""

NAN = 0x7FC0
"""A bfloat16 NaN."""
EXPONENT = {np.dtype("<f2"): 0x7C00, np.dtype("<u2"): 0x7F80, np.dtype("<f4"): 0x7F800000}
"""The bits that are all set in infinities and NaN, and in no number."""
BLOCK = 1 << 18
"""Numbers looked at in one go, so that what is computed of them stays within the processor's cache."""


def fill_value(dtype: str) -> float | int:
    """What zarr gives out where there is no chunk: NaN, which no stored vector holds."""
    return NAN if dtype == "bfloat16" else float("nan")


def to_stored(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Round to a cache's dtype, to nearest and ties to even; what it cannot hold becomes infinite.

    Args:
        values: float16, float32, or uint16 for the patterns of bfloat16. [any shape]
        dtype: A key of `STORED`.
    """
    wanted = STORED[dtype]
    if values.dtype == wanted:
        return np.ascontiguousarray(values)
    values = to_float32(values)
    if dtype == "bfloat16":
        return _bfloat16(np.ascontiguousarray(values))
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values, wanted)


def to_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """The numbers themselves, exactly; uint16 is taken for bfloat16."""
    if values.dtype == np.uint16:
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32, copy=False)


def all_finite(values: NDArray[Any]) -> bool:
    """Whether there is no infinity and no NaN among stored numbers."""
    patterns = values.reshape(-1).view(f"<u{values.itemsize}")
    exponent = EXPONENT[values.dtype]
    return all(
        int((patterns[start : start + BLOCK] & exponent).max()) < exponent for start in range(0, len(patterns), BLOCK)
    )


def as_torch(values: NDArray[Any]) -> Tensor:
    """Stored numbers as a tensor that shares their memory; uint16 becomes bfloat16."""
    import torch

    if values.dtype == np.uint16:
        return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(values)


def _bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    bits = values.view(np.uint32)
    # Half of the last place kept, less one where that place is even: what lies exactly between goes to the even one.
    rounded = (bits + (((bits >> 16) & 1) + 0x7FFF)) >> 16
    return np.where(np.isnan(values), NAN, rounded).astype(np.uint16)
