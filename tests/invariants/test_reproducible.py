"""The same seed on the same machine: the same files and numbers to the bit, on the CPU."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from world import PREINFER, PREPARE, RUNS, TRAIN, World, write_tables

from plmrs.cache.find import open_cache

CLOCK = {"seconds", "targets_per_second"}
"""Columns of metrics.csv that tell of the machine."""
CPU = ["--accelerator", "cpu"]


def result(run: Path) -> dict[str, Any]:
    """All that a run came to: weights, the metrics of each epoch and of the test, but no times."""
    with (run / "metrics.csv").open() as file:
        epochs = [{name: value for name, value in row.items() if name not in CLOCK} for row in csv.DictReader(file)]
    tested = json.loads((run / "test_metrics.json").read_text())
    parts = ("groups", "lists", "methods")
    return {
        "weights": (run / "model.safetensors").read_bytes(),
        "epochs": epochs,
        "test": {part: tested[part] for part in parts},
    }


@pytest.mark.parametrize("run", RUNS)
def test_trained_again_it_is_the_same(world: World, run: str) -> None:
    for name, options in (("again", []), ("ahead", ["--num-workers", "2"]), ("other", ["--seed", "43"])):
        world.well(*TRAIN, *RUNS[run], *options, "--name", name)
    found = {}
    for name in (run, "again", "ahead", "other"):
        world.well("evaluate", name, *CPU)
        found[name] = result(Path("runs", name))
    assert found["again"] == found[run]
    assert found["ahead"] == found[run]
    assert found["other"]["weights"] != found[run]["weights"]
    assert found["other"]["epochs"] != found[run]["epochs"]


def files_of(folder: Path) -> dict[Path, bytes]:
    """What lies in a folder, but for manifests, which say when they were made."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in ("manifest.json", "zarr.json"))
    return {path.relative_to(folder): path.read_bytes() for path in files}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_that_hash_otherwise_make_the_same(tiny_bert: Path, tmp_path: Path) -> None:
    """From raw files to test metrics; a set's order, or a name that hashes otherwise, decides nothing."""
    commands = [PREPARE, PREINFER, [*PREINFER, "--plm-last-n-unfreeze", "1"]]
    for name, options in RUNS.items():
        commands += [[*TRAIN, *options, "--name", name], ["evaluate", name, *CPU]]
    code = "import sys, json; from plmrs.cli import main; sys.exit(max(map(main, json.loads(sys.argv[1]))))"
    folder = tmp_path / "place"  # The same one for both, as a run keeps the place of its cache.
    made = []
    for seed in ("1", "2"):
        folder.mkdir()
        write_tables(folder)
        shutil.copytree(tiny_bert, folder / "plm")
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": seed}
        arguments = [sys.executable, "-c", code, json.dumps(commands)]
        done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        made.append({run: result(folder / "runs" / run) for run in RUNS} | {"files": files_of(folder / "data")})
        shutil.rmtree(folder)
    assert len(made[0]["files"]) > 10
    assert made[0] == made[1]


@pytest.fixture
def threads() -> Iterator[None]:
    """Sets the number of threads back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def states(world: World) -> dict[str, Any]:
    """The pooled states of the one cache."""
    (place,) = Path("data/cache").glob("*/*/final-*.zarr")
    cache = open_cache(place)
    return {pooling: cache.read(pooling) for pooling in cache.poolings}


def test_states_depend_on_nothing_that_is_no_part_of_their_fingerprint(world: World, threads: None) -> None:
    """To the bit on other cores and with other memory; within rounding in other batches."""
    first = states(world)
    rounding = 2 * np.finfo(np.float16).eps
    others = ((1, [], True), (2, ["--max-memory", "1GiB"], True), (1, ["--batch-size", "3"], False))
    for number, options, exact in others:
        shutil.rmtree("data/cache")
        torch.set_num_threads(number)
        world.well(*PREINFER, *options)
        for pooling, vectors in states(world).items():
            if exact:
                np.testing.assert_array_equal(vectors, first[pooling])
            np.testing.assert_allclose(vectors, first[pooling], rtol=rounding, atol=rounding)
