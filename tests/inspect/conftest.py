"""Data sets written by hand, so that every number of them can be worked out, and caches to be damaged."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from listening import Listening

from plmrs.cache.find import list_caches
from plmrs.cache.store import Cache
from plmrs.config import InspectConfig, PreinferConfig
from plmrs.data.checksums import checksums
from plmrs.data.dataset import FORMAT, Dataset, open_dataset, write_histories, write_items
from plmrs.data.tokens import make_tokens
from plmrs.inspect.command import inspect
from plmrs.preinfer.command import preinfer
from plmrs.report import Silent, Table
from plmrs.workspace import Workspace, write_json

LEAVE_ONE_OUT = {"method": "leave_one_out"}
Taken = Sequence[tuple[int, int]]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "data", tmp_path / "runs")


@pytest.fixture
def write(workspace: Workspace) -> Callable[..., Dataset]:
    """`write({"ann": [(item, time), …], …}, n_items)` gives the data set `hand`; the rest goes into its manifest."""

    def write(
        histories: Mapping[str, Taken], n_items: int, texts: Sequence[str] | None = None, **manifest: Any
    ) -> Dataset:
        items = np.array([item for taken in histories.values() for item, _ in taken], np.int32)
        times = np.array([time for taken in histories.values() for _, time in taken], np.int64)
        offsets = np.cumsum([0, *(len(taken) for taken in histories.values())])
        folder = workspace.prepared("hand")
        folder.mkdir(parents=True)
        ids = [f"i{item}" for item in range(1, n_items + 1)]
        write_items(
            folder,
            ids,
            texts or [f"text {item}" for item in range(1, n_items + 1)],
            None,
            np.bincount(items - 1, minlength=n_items),
        )
        write_histories(folder, list(histories), items, times, offsets)
        written = {
            "format": FORMAT,
            "files": checksums(folder),
            "name": "hand",
            "fingerprint": "0123456789ab",
            "texts_fingerprint": "ba9876543210",
            "created": "2025-01-01T10:00:00+00:00",
            "source": "table",
            "split": LEAVE_ONE_OUT,
            "has_times": True,
            "time_unit": "ticks, as in the file",
            "dropped": [],
        }
        write_json(folder / "manifest.json", {**written, **manifest})
        return open_dataset(workspace, "hand")

    return write


@pytest.fixture
def add_tokens() -> Callable[[Dataset, str, Sequence[int], int], None]:
    """`add_tokens(dataset, tokenizer, full, length)` writes a token file of items that have `full` tokens."""

    def add(dataset: Dataset, tokenizer: str, full: Sequence[int], length: int) -> None:
        left = iter(full)

        def tokenise(texts: Sequence[str]) -> tuple[list[list[int]], list[int]]:
            sizes = [next(left) for _ in texts]
            return [[7] * min(size, length) for size in sizes], sizes

        make_tokens(dataset, tokenizer, "of a test", length, tokenise, Silent())

    return add


@pytest.fixture
def heard() -> Listening:
    return Listening()


@pytest.fixture(scope="session")
def bert(make_plm: Any) -> Path:
    """The folder of a BERT of 3 blocks, width 32."""
    return Path(make_plm("bert", num_hidden_layers=3))


ENCODED: dict[str, dict[str, Any]] = {
    "final": {},
    "hidden": {"plm_last_n_unfreeze": 1, "dtype": "float32"},
    "both": {"keep_tokens": True, "dtype": "bfloat16", "precision": "bf16"},
}
"""How `plmrs preinfer` was run for the caches that the tests damage."""


@pytest.fixture(scope="session")
def encoded(small_dataset: Dataset, bert: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Workspaces with a data set of 600 items and one cache of three units, by the names in `ENCODED`."""
    roots = {}
    for name, options in ENCODED.items():
        roots[name] = tmp_path_factory.mktemp("encoded") / "data"
        shutil.copytree(small_dataset.folder, roots[name] / "prepared" / "small")
        flat = {"root": roots[name], "plm_name": str(bert), "precision": "32", "accelerator": "cpu", **options}
        preinfer(PreinferConfig.from_flat(flat), Silent())
    return roots


@pytest.fixture
def cached(encoded: dict[str, Path], workspace: Workspace) -> Callable[[str], Cache]:
    """`cached("final")` gives the cache of that name in a workspace that the test may damage."""

    def copy(name: str) -> Cache:
        shutil.copytree(encoded[name], workspace.root)
        (cache,) = list_caches(workspace)
        return cache

    return copy


@pytest.fixture
def look(workspace: Workspace) -> Callable[..., list[Table]]:
    """`look(what, verify=True)` is `plmrs inspect WHAT --verify` in the test's workspace."""

    def look(what: object, progress: Any = None, **options: Any) -> list[Table]:
        flat = {"root": workspace.root, "runs": workspace.runs, **options}
        return inspect([str(what)], InspectConfig.from_flat(flat), progress or Silent())

    return look
