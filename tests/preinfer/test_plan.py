"""Groups of blocks, by hand: a PLM of ten blocks of 100 bytes each, embeddings of 250 and a norm of 10."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plmrs.cache.layout import Layout
from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm, find_plm
from plmrs.preinfer.plan import Sizes, fit_batch, groups, sizes

PLM = Plm("ten", Path("ten"), "", None, "opt", 8, 10, 64, ())
SIZES = Sizes(embeddings=250, block=100, norm=10, token=10, unit=25, batch=100, usual=100, longest=20)
AT_WORK = 1000 + 4 * 25
"""Bytes that are needed besides weights."""


def cut(weights: int, start: int | None = None, stop: int = 10, of: Sizes = SIZES) -> list[tuple[int, int, bool, int]]:
    found = groups(PLM, start, stop, of, AT_WORK + weights)
    return [(group.first, group.stop, group.from_ids, group.weights) for group in found]


@pytest.mark.parametrize(
    ("weights", "start", "stop", "expected"),
    [
        (1260, None, 10, [(0, 10, True, 1260)]),
        (1259, None, 10, [(0, 9, True, 1150), (9, 10, False, 110)]),
        (320, None, 7, [(0, 0, True, 250), (0, 3, False, 300), (3, 6, False, 300), (6, 7, False, 100)]),
        (360, None, 4, [(0, 1, True, 350), (1, 4, False, 300)]),
        (250, None, 2, [(0, 0, True, 250), (0, 2, False, 200)]),
        (250, None, 0, [(0, 0, True, 250)]),
        (110, 8, 10, [(8, 9, False, 100), (9, 10, False, 110)]),
        (209, 8, 10, [(8, 9, False, 100), (9, 10, False, 110)]),
        (210, 8, 10, [(8, 10, False, 210)]),
        (100, 5, 7, [(5, 6, False, 100), (6, 7, False, 100)]),
        (10_000, 0, 10, [(0, 10, False, 1010)]),
    ],
)  # fmt: skip
def test_blocks_are_held_as_many_as_fit(weights: int, start: int | None, stop: int, expected: Any) -> None:
    assert cut(weights, start, stop) == expected


@pytest.mark.parametrize(
    ("least", "start", "stop", "of"),
    [
        (250, None, 10, SIZES),
        (110, 5, 10, SIZES),
        (100, 5, 9, SIZES),
        (110, None, 10, replace(SIZES, embeddings=30)),
        (30, None, 0, replace(SIZES, embeddings=30)),
    ],
)
def test_no_group_takes_more_than_there_is(least: int, start: int | None, stop: int, of: Sizes) -> None:
    for weights in (least, least + 1, 2 * least, 3 * least + 50):
        found = cut(weights, start, stop, of)
        assert all(group[3] <= weights for group in found)
        assert [group[1] for group in found[:-1]] == [group[0] for group in found[1:]]
        assert found[-1][1] == stop
    with pytest.raises(UserError, match=r"ten needs .* for a single block at work"):
        cut(least - 1, start, stop, of)


def test_too_little_memory_names_what_is_enough() -> None:
    mebibyte = 2**20
    of = Sizes(
        embeddings=250 * mebibyte,
        block=100 * mebibyte,
        norm=0,
        token=mebibyte,
        unit=mebibyte,
        batch=70,
        usual=70,
        longest=20,
    )
    with pytest.raises(UserError, match=r"needs 0\.32 GiB for a single block at work; 0\.20 GiB is given") as caught:
        groups(PLM, None, 10, of, 205 * mebibyte)
    assert caught.value.remedy.startswith("Give --max-memory 324MiB at least")
    assert groups(PLM, None, 10, of, 324 * mebibyte)


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_sizes_follow_from_the_configuration(opt: Path, precision: Any) -> None:
    length = np.array([9] * 600, np.int32)
    of = sizes(find_plm(str(opt)), precision, length, Layout(np.array([0, 500, 600]), np.array([0, 4500, 5400])))
    a_number = 4 if precision == "32" else 2
    # Four projections of 32 × 32 and two of 32 × 64 with their biases, and two norms.
    assert of.block == a_number * (4 * (32 * 32 + 32) + (32 * 64 + 64) + (64 * 32 + 32) + 2 * 64)
    assert of.embeddings == a_number * 32 * (400 + 66)
    assert of.norm == a_number * 64
    assert of.unit == 4 * 32 * 4500
    assert of.batch == 4096
    assert of.token == int(1.6 * of.block / 32) + 4 * 9
    assert of.activations == 4096 * of.token


def test_t5_keeps_more_of_two_tokens(make_plm: Any) -> None:
    of = sizes(find_plm(str(make_plm("t5"))), "32", np.array([50]), Layout(np.array([0, 1]), np.array([0, 50])))
    assert of.token == int(1.6 * of.block / 32) + 50 * 4 * (1 + 3 * 4)


@pytest.mark.parametrize(
    ("weights", "usual", "expected"),
    [
        (1260 - 1, 20, 99),  # What is left beside all weights, …
        (1260 - 201, 20, 79),
        (1260 - 900, 20, 20),  # … but no less than is usual,
        (1260 + 900, 20, 100),  # and no more than is asked for.
        (1260 - 900, 200, 100),
        (250 - 1, 100, 99),  # Below that only where memory does not hold the embeddings, the largest, beside it,
        (250 - 500, 100, 50),
        (250 - 900, 100, 20),  # and not below the longest text.
    ],
)
def test_large_batches_are_cut_to_what_memory_holds(weights: int, usual: int, expected: int) -> None:
    of = replace(SIZES, usual=usual)
    assert fit_batch(PLM, None, 10, of, AT_WORK + weights) == replace(of, batch=expected)
