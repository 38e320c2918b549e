"""What `prepare` tells and writes down: counts, and a table of what was read, kept, dropped and why."""

from typing import Any

import numpy as np

from plmrs.data.sources.source import Source
from plmrs.data.splits import Split, training_counts
from plmrs.prepare.build import Prepared
from plmrs.report import Cell, Table

QUANTILES = (0, 25, 50, 75, 100)


def counts(prepared: Prepared, split: Split) -> dict[str, Any]:
    """How much of everything there is, for the manifest."""
    histories, n_items = prepared.histories, len(prepared.item_ids)
    n_users, n_interactions = len(histories), len(prepared.items)
    trained = training_counts(split.train, n_items)
    return {
        "users": n_users,
        "items": n_items,
        "interactions": n_interactions,
        "density": n_interactions / (n_users * n_items),
        "history_length_quantiles": {q: int(np.percentile(histories.lengths, q)) for q in QUANTILES},
        "items_nobody_took": n_items - int((np.bincount(prepared.items) > 0).sum()),
        "users_in_training": len(split.train),
        "items_never_in_training": int((trained == 0).sum()),
        **{
            f"{part}_targets{which}": int((trained[held_out.targets - 1] == 0).sum()) if which else len(held_out)
            for part, held_out in (("val", split.val), ("test", split.test))
            for which in ("", "_never_in_training")
        },
    }


def tables(name: str, source: Source, prepared: Prepared, facts: dict[str, Any], notes: list[str]) -> list[Table]:
    """What was read, dropped and kept, then the counts."""
    rows: list[list[Cell]] = [["read", tally.count, tally.what, tally.why] for tally in source.read]
    rows += [
        ["dropped", tally.count, tally.what, tally.why] for tally in (*source.dropped, *prepared.dropped) if tally.count
    ]
    rows += [["kept", facts[what], what, ""] for what in ("items", "users", "interactions")]
    lengths = " / ".join(str(value) for value in facts["history_length_quantiles"].values())
    held_out: list[list[Cell]] = []
    for part in ("val", "test"):
        targets, cold = facts[f"{part}_targets"], facts[f"{part}_targets_never_in_training"]
        held_out.append([f"{part} targets", f"{targets:,}, {cold:,} ({cold / targets:.1%}) of items never in training"])
    return [
        Table(f"{name}: read, dropped, kept", ["", "count", "what", "where or why"], rows),
        Table(
            f"{name}: prepared",
            ["", "value"],
            [
                ["users", facts["users"]],
                ["items", facts["items"]],
                ["interactions", facts["interactions"]],
                ["density", f"{facts['density']:.3%}"],
                ["items of a user: min / 25 % / median / 75 % / max", lengths],
                ["items nobody took", facts["items_nobody_took"]],
                ["users in training", facts["users_in_training"]],
                ["items never in training", facts["items_never_in_training"]],
                *held_out,
            ],
            notes,
        ),
    ]
