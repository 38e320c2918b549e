"""What is told of a cache, and of many in a list."""

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plmrs.cache.create import cache_path, create_cache, new_manifest
from plmrs.cache.integrity import drop_units
from plmrs.cache.store import Cache
from plmrs.cache.texts import Texts
from plmrs.config import InspectConfig
from plmrs.data.dataset import Dataset
from plmrs.inspect.command import inspect
from plmrs.plm.checkpoint import find_plm
from plmrs.report import Silent
from plmrs.tables import plain_lines
from plmrs.workspace import Workspace

Cached = Callable[[str], Cache]


def facts(look: Any, cache: Cache) -> dict[str, Any]:
    table = look(cache.path)[0]
    assert table.title == f"Cache {cache.path.stem}"
    assert table.notes == [f"It lies in {cache.path}."]
    return dict(table.rows)


@pytest.mark.parametrize(
    ("kind", "boundary", "blocks", "precision", "dtype", "n_arrays"),
    [
        ("final", "final: mean, last, cls", 3, "32", "float16", 3),
        ("hidden", "block2: the tokens' states", 2, "32", "float32", 1),
        ("both", "final: mean, last, cls, hidden", 3, "bf16", "bfloat16", 4),
    ],
)
def test_what_a_cache_holds(
    kind: str, boundary: str, blocks: int, precision: str, dtype: str, n_arrays: int,
    cached: Cached, look: Any, bert: Path,
) -> None:  # fmt: skip
    cache = cached(kind)
    found = facts(look, cache)
    assert found["data set"] == "small"
    assert (found["items"], found["distinct texts"]) == (600, 598)
    assert found["tokens"] == cache.texts.length.sum()
    assert (found["language model"], found["licence"]) == (str(bert), "not named")
    assert found["identity"] == find_plm(str(bert)).identity
    assert (found["boundary"], found["blocks before it"]) == (boundary, blocks)
    assert (found["width"], found["precision"], found["stored as"]) == (32, precision, dtype)
    assert found["computed from"] == "the texts"
    assert (found["units"], found["state"]) == (3, "complete")
    size = sum(file.stat().st_size for file in cache.path.glob("**/*") if file.is_file())
    assert size > n_arrays * 598 * 32 * (4 if kind == "hidden" else 2)
    assert found["MiB on disk"] == f"{size / 2**20:.1f}"
    assert found["fingerprint"] == cache.fingerprint


def test_what_state_it_is_in(cached: Cached, look: Any) -> None:
    cache = cached("hidden")
    drop_units(cache, [0, 1])
    assert facts(look, cache)["state"] == "2 of 3 units missing; plmrs preinfer goes on with them"
    (cache.path / "intermediate").touch()
    assert facts(look, cache)["state"].endswith("; intermediate, removed once the next is complete")


def listed(workspace: Workspace) -> Any:
    tables = inspect([], InspectConfig.from_flat({"root": workspace.root, "runs": workspace.runs}), Silent())
    return next(table for table in tables if table.title == "Cached")


def test_a_list_tells_boundary_and_state(cached: Cached, workspace: Workspace) -> None:
    cache = cached("hidden")
    shutil.rmtree(workspace.prepared("small"))
    assert listed(workspace).columns == [
        "data set", "language model", "boundary", "cache", "items", "state", "made",
    ]  # fmt: skip
    row = ["small", "tiny-bert", "block2", cache.fingerprint, 600]
    assert listed(workspace).rows[0][:6] == [*row, "complete"]
    (cache.path / "intermediate").touch()
    assert listed(workspace).rows[0][:6] == [*row, "intermediate"]
    drop_units(cache, [1])
    assert listed(workspace).rows[0][:6] == [*row, "66 % done"]


def test_a_list_of_long_names_fits_100_columns(small_dataset: Dataset, workspace: Workspace, bert: Path) -> None:
    from rich.console import Console
    from rich.table import Table as Drawn

    plm, items = find_plm(str(bert)), 1_234_567
    texts = Texts(np.full(1, 9, np.int32), np.zeros(items, np.int32))
    names = {
        "facebook/opt-125m": "facebook/opt-125m",
        "sentence-transformers/all-MiniLM-L6-v2": "all-MiniLM-L6-v2",
        "someone/a-model-with-a-name-of-its-own": "a-model-with-a-n…",
        "/a/folder/of/opt-1.3b": "opt-1.3b",
    }
    for name in names:
        dataset = replace(small_dataset, name="a_data_set_of_long_name")
        named = replace(plm, name=name, n_blocks=200)
        manifest = new_manifest(dataset, named, texts, 30, "32", 100)
        cache = create_cache(cache_path(workspace, named, manifest), manifest, texts)
        (cache.path / "intermediate").touch()
    table = listed(workspace)
    assert {row[0] for row in table.rows} == {"a_data_set_of…"}
    assert sorted(row[1] for row in table.rows) == sorted(names.values())
    assert [row[2] for row in table.rows] == ["block100"] * 4
    assert max(map(len, plain_lines(table))) <= 100
    drawn = Drawn(box=None, padding=(0, 3, 0, 0), pad_edge=False)
    for column in table.columns:
        drawn.add_column(column)
    for row in table.rows:
        drawn.add_row(*(f"{cell:,}" if isinstance(cell, int) else cell for cell in row))
    assert Console(width=300, file=io.StringIO()).measure(drawn).maximum <= 100
