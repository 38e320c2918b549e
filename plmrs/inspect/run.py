"""A run's details: its result, its epochs, its options and where they came from."""

from plmrs.model.run import Run
from plmrs.report import Cell, Table


def run_tables(run: Run) -> list[Table]:
    """Result, parameters and configuration of a run."""
    manifest, result = run.manifest, run.metrics
    facts: list[list[Cell]] = [
        ["data set", f"{manifest['dataset']} {manifest['dataset_fingerprint']}"],
        ["input", run.config.model.input_type],
        ["language model", manifest["plm"] or "none"],
        *[[f"parameters: {part}", count] for part, count in manifest["parameters"].items()],
        ["weights", str(run.weights) if run.weights.is_file() else "none yet"],
    ]
    if result is None:
        facts.append(["state", f"unfinished; go on with: plmrs train --resume {run.name}"])
    else:
        facts += [
            ["best epoch", f"{result['best_epoch']} of {result['epochs']}"],
            ["training seconds", round(result["seconds"])],
            ["targets/s", round(result["targets_per_second"])],
            ["peak memory, MiB", round(result["peak_rss_bytes"] / 2**20)],
        ]
    tables = [Table(f"Run {run.name}", ["", "value"], facts, [f"It lies in {run.folder}."])]
    if result is not None:
        tables.append(_metrics(run))
    options = run.config.flat()
    rows: list[list[Cell]] = [
        [key, str(value), run.config.origins.get(key, "default")] for key, value in options.items()
    ]
    tables.append(Table("Configuration", ["option", "value", "from"], rows))
    return tables


def _metrics(run: Run) -> Table:
    """Validation of the best epoch and, once evaluated, test metrics, a row a metric."""
    validation = {k: v for k, v in (run.metrics or {})["validation"].items() if k != "loss"}
    test: dict[str, float] = {}
    notes = ["Not evaluated on the test targets yet."]
    if run.test_metrics is not None:
        test = next(iter(run.test_metrics["metrics"]["all"].values()))
        notes = [f"{key}: {value}" for key, value in run.test_metrics["protocol"].items()]
    rows: list[list[Cell]] = [[name, value, test.get(name)] for name, value in validation.items()]
    return Table("Metrics", ["metric", "validation", "test"], rows, notes)
