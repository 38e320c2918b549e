"""What `plmrs evaluate` left in a run's folder, read for a table."""

from pathlib import Path
from typing import Any

from plmrs.model.run import Run

OLDER = "Evaluated by another version; run `plmrs evaluate` again."
WANTED = "NDCG@10"
"""The metric that stands for a run where there is room for one."""


def other_weights(run: Run, result: dict[str, Any]) -> str:
    """The file of the checkpoint that was evaluated, where it is another than the run is read with; else nothing."""
    evaluated = Path(result.get("weights", run.weights)).name
    return "" if evaluated == run.weights.name else evaluated


def own_metrics(result: dict[str, Any], group: int = 0) -> dict[str, float]:
    """The model's own metrics in a group; the first group is all users."""
    found: dict[str, float] = result["groups"][group]["metrics"][result["methods"][0]]
    return found


def own_interval(result: dict[str, Any] | None, metric: str, group: int = 0) -> tuple[float | None, float | None]:
    """Between which values a metric of the model lies; None twice where no interval was asked for."""
    intervals = result["groups"][group].get("intervals") or {} if result else {}
    low, high = intervals.get(result["methods"][0], {}).get(metric, (None, None)) if result else (None, None)
    return low, high
