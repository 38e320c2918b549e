"""Some users with what they took, what they are recommended, and what they took next."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plmrs.data.dataset import Dataset, Histories
from plmrs.evaluate.rank import Task
from plmrs.model.ranking import new_buffer, rank_block

USERS = 30
SEED = 0
LAST = 10
"""Items of a history that are shown."""
RECOMMENDED = 10


@torch.inference_mode()
def some_users(task: Task, name: str, dataset: Dataset, device: torch.device) -> list[dict[str, Any]]:
    """Users drawn by chance, the same whenever, with the best items by one method; items are rows.

    Args:
        task: What is ranked, as for the metrics.
        name: Of the method.
        dataset: Whose users.
        device: Where scores are computed.
    """
    n = min(USERS, len(task.users))
    drawn = np.sort(np.random.default_rng(SEED).choice(len(task.users), n, replace=False))
    users = task.users.take(drawn)
    left_out = None if task.left_out is None else torch.from_numpy(task.left_out).to(device)
    scores = task.methods[name].on(device)(users.inputs)
    buffer = new_buffer(task.n_items, task.memory, device)
    ranks, best = rank_block(scores, users, task.n_items, buffer, task.mask, left_out, RECOMMENDED)
    assert best is not None
    ids, targets = dataset.user_ids_of(users.users), users.targets
    return [
        {
            "id": ids[row],
            "taken": int(users.inputs.lengths[row]),
            "history": _last(users.inputs, row).tolist(),
            "recommended": [column for column in best[row].tolist() if column >= 0],
            "target": int(targets[row]) - 1,
            "rank": int(ranks[row]),
        }
        for row in range(n)
    ]


def rows_of(users: list[dict[str, Any]]) -> NDArray[np.int64]:
    """The rows of all items that are shown of some users. [n]"""
    found = {row for user in users for row in (*user["history"], *user["recommended"], user["target"])}
    return np.array(sorted(found), np.int64)


def _last(inputs: Histories, row: int) -> NDArray[np.int64]:
    """The rows of the items a user took last, oldest first."""
    start, stop = int(inputs.start[row]), int(inputs.stop[row])
    return inputs.items[max(start, stop - LAST) : stop].astype(np.int64) - 1
