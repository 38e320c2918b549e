"""A data set's details: counts, how long histories and how popular items are, what is held out, samples."""

import numpy as np

from plmrs.data.dataset import Dataset
from plmrs.data.splits import held_out, training_counts
from plmrs.report import Cell, Table

QUANTILES = (0, 25, 50, 75, 100)


def dataset_tables(dataset: Dataset) -> list[Table]:
    """Counts, distributions, held-out items and sample rows of a data set."""
    histories = dataset.histories
    counts = np.bincount(histories.items - 1, minlength=dataset.n_items)
    in_training = training_counts(histories, dataset.n_items)
    interactions = len(histories.items)
    facts: list[list[Cell]] = [
        ["users", dataset.n_users],
        ["items", dataset.n_items],
        ["interactions", interactions],
        ["density", f"{interactions / (dataset.n_users * dataset.n_items):.3%}"],
        ["interactions trained on", int(in_training.sum())],
        ["items never in training", int((in_training == 0).sum())],
    ]
    for split in ("val", "test"):
        _, targets = held_out(histories, "val" if split == "val" else "test")
        facts.append([f"{split} targets never in training", f"{(in_training[targets - 1] == 0).mean():.1%}"])
    facts.append(["fingerprint", dataset.fingerprint])
    spread: list[list[Cell]] = [
        [what, *(int(value) for value in np.percentile(values, QUANTILES))]
        for what, values in (("items of a user", histories.lengths), ("users of an item", counts))
    ]
    texts = dataset.texts()
    samples: list[list[Cell]] = [
        [user, " · ".join(texts[item - 1] for item in histories.items[stop - 3 : stop])]
        for user, stop in zip(dataset.user_ids()[:3], histories.stop[:3], strict=True)
    ]
    columns = ["", *("min" if q == 0 else "max" if q == 100 else f"{q} %" for q in QUANTILES)]
    return [
        Table(f"Data set {dataset.name}", ["", "value"], facts, [f"It lies in {dataset.folder}."]),
        Table("Quantiles", columns, spread),
        Table("The last three items of three users", ["user", "texts"], samples),
    ]
