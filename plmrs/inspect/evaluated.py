"""What `plmrs evaluate` left in a run's folder, read for a table."""

from typing import Any

from plmrs.model.run import Run

FORMAT = 2
OLDER = "Evaluated by an older version; run `plmrs evaluate` again."
WANTED = "NDCG@10"
"""The metric that stands for a run where there is room for one."""


def evaluated(run: Run) -> dict[str, Any] | None:
    """A run's test metrics; None where there are none, or an older version's."""
    result = run.test_metrics
    return result if result is not None and result.get("format") == FORMAT else None


def is_older(run: Run) -> bool:
    """Whether its test metrics are an older version's."""
    return run.test_metrics is not None and evaluated(run) is None


def own_metrics(result: dict[str, Any], group: int = 0) -> dict[str, float]:
    """The model's own metrics in a group; the first group is all users."""
    found: dict[str, float] = result["groups"][group]["metrics"][result["methods"][0]]
    return found


def own_interval(result: dict[str, Any] | None, metric: str, group: int = 0) -> tuple[float | None, float | None]:
    """Between which values a metric of the model lies; None twice where no interval was asked for."""
    intervals = result["groups"][group].get("intervals") or {} if result else {}
    low, high = intervals.get(result["methods"][0], {}).get(metric, (None, None)) if result else (None, None)
    return low, high


def headline(metrics: dict[str, float]) -> str:
    """The name of the metric that stands for all of them: NDCG@10, or the last NDCG there is."""
    return WANTED if WANTED in metrics else [name for name in metrics if name.startswith("NDCG@")][-1]
