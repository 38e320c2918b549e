"""A run's details: its result, its epochs, its parameters, where it was made, its options and where they came from."""

from typing import Any

import numpy as np

from plmrs.evaluate.tables import headline
from plmrs.inspect.bars import sparkline
from plmrs.inspect.evaluated import OLDER, WANTED, other_weights, own_interval, own_metrics
from plmrs.model.run import Run
from plmrs.report import Cell, Table

INTERVAL = ("95 % from", "to")


def run_tables(run: Run) -> list[Table]:
    """Result, curves, metrics, parameters, environment and configuration of a run."""
    return [
        Table(f"Run {run.name}", ["", "value"], _facts(run), [f"It lies in {run.folder}."]),
        *_curves(run),
        *_metrics(run),
        *_groups(run),
        _parameters(run),
        *_environment(run),
        _configuration(run),
    ]


def _facts(run: Run) -> list[list[Cell]]:
    manifest, result = run.manifest, run.metrics
    cache = manifest.get("cache")
    facts: list[list[Cell]] = [
        ["data set", f"{manifest['dataset']} {manifest['dataset_fingerprint']}"],
        ["input", run.config.model.input_type],
        ["language model", manifest["plm"] or "none"],
        ["cache", f"{cache['path']}" if cache else "none"],
        ["weights", str(run.weights) if run.weights.is_file() else "none yet"],
        ["begun", manifest["created"]],
    ]
    if result is None:
        return [*facts, ["state", f"unfinished; go on with: plmrs train --resume {run.name}"]]
    return [
        *facts,
        ["best epoch", f"{result['best_epoch']} of {result['epochs']}"],
        ["training seconds", round(result["seconds"])],
        ["targets/s", round(result["targets_per_second"])],
        ["peak memory, MiB", round(result["peak_rss_bytes"] / 2**20)],
    ]


def _curves(run: Run) -> list[Table]:
    """Loss and the metric that training stops by, a line each."""
    found = run.epochs
    rows: list[list[Cell]] = []
    for name, best in (("loss", np.nanargmin), (WANTED, np.nanargmax)):
        values = np.array(found.get(name, []))
        if np.isfinite(values).any():
            at = int(best(values))
            rows.append([name, values[0].item(), values[-1].item(), values[at].item(), at + 1, sparkline(values)])
    if not rows:
        return []
    columns = ["", "first", "last", "best", "epoch", "curve"]
    n = len(found["epoch"])
    return [Table(f"Training, {n} epoch{'s' * (n > 1)}", columns, rows)]


def _metrics(run: Run) -> list[Table]:
    """Validation of the best epoch and, once evaluated, test metrics, a row a metric."""
    validation = {name: value for name, value in (run.metrics or {}).get("validation", {}).items() if name != "loss"}
    result = run.test_metrics
    test: dict[str, float] = own_metrics(result) if result else {}
    names = list(dict.fromkeys([*test, *validation]))
    if not names:
        return []
    rows: list[list[Cell]] = [
        [name, validation.get(name), test.get(name), *own_interval(result, name)] for name in names
    ]
    return [Table("Metrics", ["metric", "validation", "test", *INTERVAL], rows, _protocol(run, result))]


def _protocol(run: Run, result: dict[str, Any] | None) -> list[str]:
    if result is not None:
        other = other_weights(run, result)
        measured = [f"weights: {other}, not {run.weights.name}"] if other else []
        return [*measured, *(f"{key}: {value}" for key, value in result["protocol"].items())]
    return [OLDER if run.is_evaluated_otherwise else "Not evaluated on the test targets yet."]


def _groups(run: Run) -> list[Table]:
    """The model's own test metrics of each group of users."""
    result = run.test_metrics
    if result is None or len(result["groups"]) < 2:
        return []
    name = headline(list(own_metrics(result)))
    rows: list[list[Cell]] = [
        [each["by"], each["group"], each["users"], own_metrics(result, n)[name], *own_interval(result, name, n)]
        for n, each in enumerate(result["groups"])
        if each["users"]
    ]
    columns = ["users by", "group", "users", name, *INTERVAL]
    return [Table("Groups of users, test", columns, rows, [f"All methods: {run.folder / 'test_metrics.json'}."])]


def _parameters(run: Run) -> Table:
    trained = run.manifest["parameters"]
    frozen = run.manifest.get("frozen", {})
    rows: list[list[Cell]] = [[part, trained.get(part, 0), frozen.get(part, 0)] for part in {**trained, **frozen}]
    rows.append(["in all", sum(trained.values()), sum(frozen.values())])
    notes = []
    if run.manifest["plm"] and not {"PLM"} & {*trained, *frozen}:
        notes.append("The PLM's own are not among them: its states were read from the cache.")
    return Table("Parameters", ["part", "trained", "frozen"], rows, notes)


def _environment(run: Run) -> list[Table]:
    found = {"plmrs": run.manifest["plmrs"], **run.manifest.get("environment", {})}
    return [Table("Environment", ["", "value"], [[name, value] for name, value in found.items()])]


def _configuration(run: Run) -> Table:
    """What was given first, then the defaults, each in the order of the options."""
    origins = run.config.origins
    rows: list[list[Cell]] = [
        [key, str(value), origins.get(key, "default")] for key, value in run.config.flat().items()
    ]
    rows.sort(key=lambda row: row[2] == "default")
    return Table("Configuration", ["option", "value", "from"], rows)
