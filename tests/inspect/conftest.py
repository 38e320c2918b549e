"""Data sets written by hand, so that every number of them can be worked out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plmrs.data.dataset import FORMAT, Dataset, open_dataset, write_histories, write_items
from plmrs.data.tokens import make_tokens
from plmrs.report import Silent
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
