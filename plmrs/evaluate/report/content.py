"""All that the page and the plots show, as one JSON document."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plmrs.data.dataset import Dataset
from plmrs.evaluate.methods import Model
from plmrs.evaluate.rank import Task
from plmrs.evaluate.report.item_map import map_of
from plmrs.evaluate.report.users import rows_of, some_users
from plmrs.model.run import Run

LONGEST_TEXT = 160
CURVES = ("loss", "NDCG@10")


def page_content(
    found: Mapping[str, Any],
    runs: Mapping[str, Run],
    dataset: Dataset,
    counts: NDArray[np.int64],
    task: Task,
    device: torch.device,
) -> dict[str, Any]:
    """What was found, with curves of the runs, and the map and some users of the first run.

    Args:
        found: Methods, groups, lists and protocol, as `--output FILE.json` has them.
        runs: By the name of their row.
        dataset: What they were trained on.
        counts: Interactions of each item in training. [items]
        task: What was ranked.
        device: Where scores are computed.
    """
    name, run = next(iter(runs.items()))
    model = task.methods[name]
    assert isinstance(model, Model)
    users = some_users(task, name, dataset, device)
    items = map_of(model.candidates, dataset, counts, rows_of(users))
    rows = items.pop("rows")
    return {
        "dataset": dataset.name,
        "run": run.name,
        "plm": run.manifest["plm"],
        "runs": {row: each.name for row, each in runs.items()},
        **{key: found[key] for key in ("plmrs", "evaluated", "split", "protocol", "methods", "groups", "lists")},
        "masked": task.mask,
        "curves": [_curves(each) for each in runs.values()],
        "items": _items(dataset, counts, rows),
        "map": items,
        "users": [_by_place(user, rows) for user in users],
    }


def _curves(run: Run) -> dict[str, Any]:
    epochs = run.epochs
    return {
        "run": run.name,
        "best": (run.metrics or {}).get("best_epoch"),
        "epochs": [int(epoch) for epoch in epochs.get("epoch", [])],
        # JSON has no NaN.
        "series": {
            name: [value if np.isfinite(value) else None for value in epochs[name]] for name in CURVES if name in epochs
        },
    }


def _items(dataset: Dataset, counts: NDArray[np.int64], rows: NDArray[np.int64]) -> dict[str, Any]:
    """Ids, texts and popularity of the items on the map."""
    numbers = (rows + 1).astype(np.int32)
    return {
        "id": dataset.item_ids_of(numbers),
        "text": [_short(text) for text in dataset.texts_of(numbers)],
        "count": counts[rows].tolist(),
    }


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


def _by_place(user: Mapping[str, Any], rows: NDArray[np.int64]) -> dict[str, Any]:
    """A user whose items are places among `rows`, not rows of the data set."""

    def places(items: list[int]) -> list[int]:
        found: list[int] = np.searchsorted(rows, items).tolist()
        return found

    lists = {key: places(user[key]) for key in ("history", "recommended")}
    return {**user, **lists, "target": places([user["target"]])[0]}
