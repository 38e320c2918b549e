"""Several runs beside one another: what differs in how they were made, and in what came of it."""

from collections.abc import Sequence
from typing import Any

from plmrs.inspect.evaluated import other_weights, own_interval, own_metrics
from plmrs.model.run import Run
from plmrs.report import Cell, Table

MADE_WITH = ("dataset", "dataset_fingerprint", "plm", "plm_identity", "plmrs")
"""What a manifest says that decides the result and is no option."""

TRIVIAL = {"name", "resume", "dry_run"}
"""Options that say nothing of a result."""

IDENTITY = len("sha256:") + 12
"""Characters of a PLM's identity that tell it from another."""


def compared(runs: Sequence[Run]) -> list[Table]:
    """What differs between runs: options, what they were made with, training, metrics; a column a run."""
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.folder) for run in runs]
    return [
        _differing("Configuration", "option", names, [_options(run) for run in runs]),
        _differing("Made with", "", names, [_made_with(run) for run in runs]),
        _results(names, runs),
        _metrics(names, runs),
        *_intervals(names, runs),
    ]


def _options(run: Run) -> dict[str, Cell]:
    return {key: str(value) for key, value in run.config.flat().items() if key not in TRIVIAL}


def _made_with(run: Run) -> dict[str, Cell]:
    manifest = run.manifest
    found: dict[str, Cell] = {key.replace("_", " "): manifest.get(key) for key in MADE_WITH}
    found["cache"] = (manifest.get("cache") or {}).get("fingerprint")
    if found["plm identity"] is not None:
        found["plm identity"] = str(found["plm identity"])[:IDENTITY]
    found |= manifest.get("environment", {})
    return found


def _differing(title: str, first: str, names: Sequence[str], facts: Sequence[dict[str, Cell]]) -> Table:
    """The facts that are not the same in all runs."""
    keys = dict.fromkeys(key for each in facts for key in each)
    rows: list[list[Cell]] = []
    for key in keys:
        values = [each.get(key) for each in facts]
        if len(set(values)) > 1:
            rows.append([key, *values])
    same = f"{len(keys) - len(rows)} of {len(keys)} are the same."
    if not rows:
        return Table(f"{title}: nothing differs", [], [], [f"{len(keys)} values are the same."])
    return Table(f"{title}: what differs", [first, *names], rows, [same])


def _results(names: Sequence[str], runs: Sequence[Run]) -> Table:
    """Size and course of the training."""
    results = [run.metrics or {} for run in runs]
    keys = dict.fromkeys(part for run in runs for part in run.manifest["parameters"])
    rows: list[list[Cell]] = [
        [f"trained: {part}", *(run.manifest["parameters"].get(part) for run in runs)] for part in keys
    ]
    rows.append(["trained parameters", *(sum(run.manifest["parameters"].values()) for run in runs)])
    rows.append(["best epoch", *(result.get("best_epoch") for result in results)])
    rows.append(["epochs", *(result.get("epochs") for result in results)])
    for key, label in (("seconds", "training seconds"), ("targets_per_second", "targets/s")):
        rows.append([label, *(round(result[key]) if key in result else None for result in results)])
    memory = [round(result["peak_rss_bytes"] / 2**20) if result else None for result in results]
    rows.append(["peak memory, MiB", *memory])
    return Table("Training", ["", *names], rows)


def _metrics(names: Sequence[str], runs: Sequence[Run]) -> Table:
    """Validation of the best epochs and test metrics; of two runs also the second's difference to the first."""
    tested = [run.test_metrics for run in runs]
    parts: dict[str, list[dict[str, float]]] = {
        "validation": [(run.metrics or {}).get("validation", {}) for run in runs],
        "test": [own_metrics(result) if result else {} for result in tested],
    }
    rows: list[list[Cell]] = []
    for part, found in parts.items():
        for name in dict.fromkeys(name for each in found for name in each if name != "loss"):
            values = [each.get(name) for each in found]
            rows.append([f"{part} {name}", *values, *_difference(values)])
    columns = ["metric", *names, *(["difference"] if len(runs) == 2 else [])]
    return Table("Metrics", columns, rows, _notes(runs, tested))


def _difference(values: Sequence[float | None]) -> list[Cell]:
    if len(values) != 2:
        return []
    first, second = values
    return [None if first is None or second is None else second - first]


def _intervals(names: Sequence[str], runs: Sequence[Run]) -> list[Table]:
    """Between which values each test metric lies, by run."""
    tested = [result for run in runs if (result := run.test_metrics) is not None]
    shown = [name for name, run in zip(names, runs, strict=True) if run.test_metrics is not None]
    rows: list[list[Cell]] = [
        [metric, *(end for result in tested for end in own_interval(result, metric))]
        for metric in dict.fromkeys(metric for result in tested for metric in own_metrics(result))
    ]
    if not any(cell is not None for row in rows for cell in row[1:]):
        return []
    columns = ["metric", *(column for name in shown for column in (f"{name} from", "to"))]
    return [Table("Test metrics, 95 % intervals", columns, rows)]


def _notes(runs: Sequence[Run], tested: Sequence[dict[str, Any] | None]) -> list[str]:
    """What keeps numbers from being compared."""
    notes = []
    if len({run.manifest["dataset_fingerprint"] for run in runs}) > 1:
        notes.append("The runs were trained on different data: their metrics cannot be compared.")
    protocols = [result["protocol"] for result in tested if result]
    keys = {key for protocol in protocols for key in protocol if key != "data"}
    other = sorted(key for key in keys if len({protocol.get(key) for protocol in protocols}) > 1)
    if other:
        notes.append(f"Test metrics were measured under different protocols: {', '.join(other)}.")
    for run, result in zip(runs, tested, strict=True):
        if result is not None and (weights := other_weights(run, result)):
            notes.append(f"{run.name} was measured with {weights}, not with {run.weights.name}.")
        if run.is_evaluated_otherwise:
            notes.append(f"{run.name} was evaluated by another version; run `plmrs evaluate {run.name}` again.")
        elif result is None:
            notes.append(f"{run.name} is not evaluated yet: `plmrs evaluate {run.name}`.")
    return notes
