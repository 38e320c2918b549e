import warnings
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from plmrs.cache.dtypes import STORED, all_finite, as_torch, fill_value, to_float32, to_stored

TORCH = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


def every_kind() -> NDArray[np.float32]:
    """Random bit patterns: all magnitudes, subnormal, infinite and NaN; ties; the largest numbers and about them."""
    random = np.random.default_rng(0)
    patterns = random.integers(0, 2**32, 200_000, np.uint32)
    ties = (random.integers(0, 2**16, 50_000, np.uint32) << 16) | 0x8000
    half_ties = np.arange(2**15, dtype=np.uint16).view(np.float16).astype(np.float32)
    between = np.nextafter(half_ties, np.float32(np.inf)), (half_ties[1:] + half_ties[:-1]) / 2
    special = np.array([0, -0.0, np.inf, -np.inf, np.nan, 65_504, 65_519, 65_520, 3.3895e38, 3.4e38, 1e-40], np.float32)
    return np.concatenate([patterns.view(np.float32), ties.view(np.float32), half_ties, *between, special])


def numbers(tensor: torch.Tensor) -> NDArray[Any]:
    return tensor.float().numpy()


@pytest.mark.parametrize("dtype", STORED)
def test_float32_is_rounded_as_torch_does(dtype: str) -> None:
    with np.errstate(all="ignore"):
        values = every_kind()
    with warnings.catch_warnings(action="error"):
        stored = to_stored(values, dtype)
    assert stored.dtype == STORED[dtype]
    expected = torch.from_numpy(values).to(TORCH[dtype])
    found = as_torch(stored)
    assert found.dtype == TORCH[dtype]
    assert np.array_equal(numbers(found), numbers(expected), equal_nan=True)
    real = ~np.isnan(values)
    assert np.array_equal(stored.view(f"u{stored.itemsize}")[real], _patterns(expected)[real])


def _patterns(tensor: torch.Tensor) -> NDArray[Any]:
    integer = {2: torch.int16, 4: torch.int32}[tensor.itemsize]
    return tensor.view(integer).numpy().view(f"u{tensor.itemsize}")


@pytest.mark.parametrize("dtype", STORED)
def test_every_pattern_is_the_number_that_torch_takes_it_for(dtype: str) -> None:
    patterns = np.arange(2**16, dtype=np.uint16)
    stored = patterns.astype(np.uint32).view(np.float32) if dtype == "float32" else patterns.view(STORED[dtype])
    found = to_float32(stored)
    assert found.dtype == np.float32
    assert np.array_equal(found, numbers(as_torch(stored.copy())), equal_nan=True)


def test_one_dtype_becomes_another() -> None:
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    to_bfloat16 = torch.from_numpy(halves).to(torch.bfloat16)
    assert torch.equal(as_torch(to_stored(halves, "bfloat16")), to_bfloat16)
    patterns = to_stored(halves, "bfloat16")
    assert np.array_equal(to_stored(patterns, "float16"), to_bfloat16.half().numpy())
    assert np.array_equal(to_stored(patterns, "float32"), to_bfloat16.float().numpy())
    assert to_stored(patterns, "bfloat16") is patterns


@pytest.mark.parametrize("dtype", STORED)
def test_infinities_and_nan_are_found_wherever_they_are(dtype: str) -> None:
    values = to_stored(np.random.default_rng(0).normal(size=(700, 800)).astype(np.float32), dtype)
    assert all_finite(values)
    largest = torch.finfo(TORCH[dtype]).max
    values[-1, -1] = to_stored(np.array([-largest], np.float32), dtype)[0]
    assert all_finite(values)
    for bad in (np.inf, -np.inf, np.nan):
        for place in ((0, 0), (350, 3), (699, 799)):
            spoilt = values.copy()
            spoilt[place] = to_stored(np.array([bad], np.float32), dtype)[0]
            assert not all_finite(spoilt)
    assert not all_finite(np.array([fill_value(dtype)], STORED[dtype]))


def test_a_tensor_shares_the_memory() -> None:
    stored = to_stored(np.ones(4, np.float32), "bfloat16")
    tensor = as_torch(stored)
    tensor[0] = 2
    assert to_float32(stored).tolist() == [2, 1, 1, 1]
