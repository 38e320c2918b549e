"""Killed at any moment and run again: nothing is lost but a unit, and nothing is left but the cache."""

import math
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from jobs import caches, chunks, encode, settings, work

from plmrs.cache.find import list_caches
from plmrs.cache.integrity import verify
from plmrs.data.dataset import Dataset
from plmrs.plm.checkpoint import find_plm
from plmrs.preinfer.plan import COPIES, sizes
from plmrs.workspace import Workspace


def killed(workspace: Workspace, forked: Any, given: dict[str, Any], times: int, seed: int) -> list[list[str]]:
    """Kill a job so often, each time at another moment of the time it takes; what lay there at each of them."""
    whole = math.inf
    for _ in range(2):  # The first one may wait for what all of them import.
        start = time.perf_counter()
        forked(work, given).join()
        whole = min(whole, time.perf_counter() - start)
        shutil.rmtree(workspace.root / "cache")
    draw, found = random.Random(seed), []
    while len(found) < times:
        process = forked(work, given)
        process.join(draw.uniform(0.1, 1) * whole)
        if process.exitcode is None:
            process.kill()
            process.join()
            found.append(caches(workspace))
        else:  # It was finished before it could be killed: once more from the beginning.
            assert process.exitcode == 0
            shutil.rmtree(workspace.root / "cache")
    return found


def check(
    workspace_of: Any, many: Dataset, plm: Path, forked: Any, times: int, seed: int, **options: Any
) -> list[list[str]]:
    straight = encode(workspace_of(many, "straight"), plm, **{**options, "max_memory": None})
    assert straight.n_units >= 8
    if "max_memory" in options:
        of = sizes(find_plm(str(plm)), "32", straight.texts.length, straight.layout)
        options["max_memory"] = str(of.activations + COPIES * of.unit + max(of.embeddings, of.block + of.norm))
    workspace = workspace_of(many, "killed")
    found = killed(workspace, forked, settings(workspace, plm, **options), times, seed)
    resumed = encode(workspace, plm, **options)
    assert resumed.fingerprint == straight.fingerprint
    assert chunks(resumed) == chunks(straight)
    assert verify(resumed) == []
    assert caches(workspace) == [straight.boundary]
    assert len(list_caches(workspace)) == 1
    return found


def test_killed_between_groups_of_blocks(workspace_of: Any, many: Dataset, opt: Path, forked: Any) -> None:
    check(workspace_of, many, opt, forked, times=4, seed=0, max_memory="a block")


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"keep_tokens": True}, {"max_memory": "a block"}, {"max_memory": "a block", "plm_last_n_unfreeze": 1}],
    ids=["whole", "a block at a time", "an earlier boundary"],
)
def test_killed_at_many_moments(
    workspace_of: Any, many: Dataset, opt: Path, forked: Any, options: dict[str, Any]
) -> None:
    found = check(workspace_of, many, opt, forked, times=7, seed=1, **options)
    assert len({tuple(names) for names in found}) > 1
