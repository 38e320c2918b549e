"""What `prepare` tells and writes down: counts, and a table of what was read, kept, dropped and why."""

from typing import Any

import numpy as np

from plmrs.data.sources.source import Source
from plmrs.data.splits import held_out, training_counts
from plmrs.prepare.build import Prepared
from plmrs.report import Cell, Table

QUANTILES = (0, 25, 50, 75, 100)


def counts(prepared: Prepared) -> dict[str, Any]:
    """How much of everything there is, for the manifest."""
    histories, n_items = prepared.histories, len(prepared.item_ids)
    n_users, n_interactions = len(histories), len(prepared.items)
    trained = training_counts(histories, n_items)
    _, targets = held_out(histories, "test")
    return {
        "users": n_users,
        "items": n_items,
        "interactions": n_interactions,
        "density": n_interactions / (n_users * n_items),
        "history_length_quantiles": {q: int(np.percentile(histories.lengths, q)) for q in QUANTILES},
        "items_nobody_took": n_items - len(np.unique(prepared.items)),
        "items_never_in_training": int((trained == 0).sum()),
        "test_targets_never_in_training": int((trained[targets - 1] == 0).sum()),
    }


def tables(name: str, source: Source, prepared: Prepared, facts: dict[str, Any], notes: list[str]) -> list[Table]:
    """What was read, dropped and kept, then the counts."""
    rows: list[list[Cell]] = [["read", tally.count, tally.what, tally.why] for tally in source.read]
    rows += [
        ["dropped", tally.count, tally.what, tally.why] for tally in (*source.dropped, *prepared.dropped) if tally.count
    ]
    rows += [["kept", facts[what], what, ""] for what in ("items", "users", "interactions")]
    untrained = facts["test_targets_never_in_training"]
    lengths = " / ".join(str(value) for value in facts["history_length_quantiles"].values())
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
                ["items never in training", facts["items_never_in_training"]],
                ["test targets never in training", f"{untrained:,} ({untrained / facts['users']:.1%})"],
            ],
            notes,
        ),
    ]
