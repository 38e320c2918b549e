"""From ranks to numbers: metrics and intervals of each group of users, as `test_metrics.json` has them."""

from collections.abc import Mapping, Sequence
from typing import Any

from plmrs.evaluate.groups import Group
from plmrs.evaluate.intervals import intervals
from plmrs.evaluate.rank import Ranked
from plmrs.model.metrics import metrics


def measured(
    groups: Sequence[Group], ranked: Mapping[str, Ranked], topk: Sequence[int], samples: int
) -> list[dict[str, Any]]:
    """The metrics of each group by method.

    Args:
        groups: Groups of users, the first all of them.
        ranked: Of each method, by name.
        topk: Cut-offs k.
        samples: Of the bootstrap; 0 for no intervals.
    """
    found = []
    for group in groups:
        ranks = {name: each.ranks[group.rows] for name, each in ranked.items()}
        entry: dict[str, Any] = {"by": group.by, "group": group.name, "users": len(group.rows)}
        entry["metrics"] = {name: metrics(own, topk) for name, own in ranks.items()}
        if samples:
            entry["intervals"] = {name: intervals(own, topk, samples) for name, own in ranks.items()}
        found.append(entry)
    return found


def of_methods(content: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """What was found of some methods only, in that order, under other names."""

    def renamed(found: Mapping[str, Any]) -> dict[str, Any]:
        return {new: found[old] for old, new in names.items()}

    groups = [
        group | {part: renamed(group[part]) for part in ("metrics", "intervals") if part in group}
        for group in content["groups"]
    ]
    return {**content, "methods": list(names.values()), "groups": groups, "lists": renamed(content["lists"])}
