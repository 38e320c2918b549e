"""Which part of the split each interaction belongs to, and what each part has that training never sees."""

import numpy as np
from numpy.typing import NDArray

from plmrs.data.dataset import Dataset
from plmrs.data.splits import Split
from plmrs.report import Cell, Table

PARTS = ("input only", "train", "val", "test")
INPUT, TRAIN, VAL, TEST = range(4)


def parts_of(split: Split) -> NDArray[np.uint8]:
    """The part of each interaction, as its place in `PARTS`. [interactions]

    Input only is what is neither trained on nor a target.

    Example: leave-one-out, histories `[[5, 3, 8, 2], [1, 4, 6]]` give `[1, 1, 2, 3, 1, 2, 3]`.
    """
    train = split.train.take(np.flatnonzero(split.train.lengths))
    step = np.zeros(len(train.items) + 1, np.int8)
    # The stretches trained on do not overlap: each begins once and ends once.
    step[train.start] += 1
    step[train.stop] -= 1
    parts = np.cumsum(step[:-1], dtype=np.int8).astype(np.uint8)
    parts[split.val.places] = VAL
    parts[split.test.places] = TEST
    return parts


def parts_table(dataset: Dataset, split: Split, parts: NDArray[np.uint8]) -> Table:
    """Users, interactions and items of each part, and the cold ones: those that training never sees."""
    sizes = np.bincount(parts, minlength=len(PARTS)).tolist()
    trained = _present(dataset.histories.items[parts == TRAIN], dataset.n_items)
    n_trained = int(trained.sum())
    rows: list[list[Cell]] = [
        ["train", int((split.train.lengths > 0).sum()), sizes[TRAIN], n_trained, None, None, None],
    ]
    for name, held_out in (("val", split.val), ("test", split.test)):
        present = _present(held_out.targets, dataset.n_items)
        cold = int((~trained[held_out.targets - 1]).sum())
        cold_items, count = int((present & ~trained).sum()), len(held_out)
        rows.append([name, count, count, int(present.sum()), cold_items, cold, f"{cold / count:.1%}"])
    if sizes[INPUT]:
        rows.append([PARTS[INPUT], None, sizes[INPUT], None, None, None, None])
    rows.append(["all", dataset.n_users, len(parts), dataset.n_items, dataset.n_items - n_trained, None, None])
    columns = ["", "users", "interactions", "items", "cold items", "cold targets", "share"]
    notes = [
        f"Split: {split.rule}.",
        "Interactions of val and test are their targets. Cold: never in training.",
    ]
    return Table("Split", columns, rows, notes)


def _present(items: NDArray[np.int32], n_items: int) -> NDArray[np.bool_]:
    """Whether each of items 1…n is among some. [items]"""
    return np.bincount(items - 1, minlength=n_items) > 0
