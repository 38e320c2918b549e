"""What is told of a run, and of what differs between runs; the folders are written by hand."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from plmrs.config import InspectConfig, TrainConfig
from plmrs.errors import UserError
from plmrs.inspect.command import inspect
from plmrs.model.run import create_run
from plmrs.report import Silent, Table
from plmrs.tables import plain_lines
from plmrs.workspace import Workspace, write_json

EPOCHS = [(1, 6.0, 0.10), (2, 3.0, 0.30), (3, 2.0, 0.25)]
Make = Callable[..., None]


def result(**changes: Any) -> dict[str, Any]:
    """What an evaluation writes, format 2."""
    own, other = {"HR@10": 0.5, "NDCG@10": 0.25}, {"HR@10": 0.1, "NDCG@10": 0.05}
    cold = {"HR@10": 0.2, "NDCG@10": 0.125}
    return {
        "format": 2,
        "split": "test",
        "protocol": {"candidates": "all 30 items", "ties": "against the model"},
        "methods": ["SASRec text", "popularity"],
        "groups": [
            {
                "by": "all",
                "group": "all",
                "users": 12,
                "metrics": {"SASRec text": own, "popularity": other},
                "intervals": {"SASRec text": {"HR@10": [0.45, 0.55], "NDCG@10": [0.2, 0.3]}},
            },
            {
                "by": "popularity of the target",
                "group": "never in training",
                "users": 3,
                "metrics": {"SASRec text": cold, "popularity": other},
                "intervals": {},
            },
        ],
        **changes,
    }


@pytest.fixture
def make(workspace: Workspace) -> Make:
    """`make("a", {"lr": 0.1}, dataset_fingerprint="x")` writes a finished run; `tested` goes into its test metrics."""

    def make(
        name: str, options: Mapping[str, Any] | None = None, tested: dict[str, Any] | None = None,
        finished: bool = True, **manifest: Any,
    ) -> None:  # fmt: skip
        config = TrainConfig.from_flat(options or {}, dict.fromkeys(options or {}, "flag"))
        facts = {
            "dataset": "shop",
            "dataset_fingerprint": "1234",
            "plm": "minilm",
            "plm_identity": "sha256:0123456789abcdef",
            "cache": None,
            "parameters": {"projection": 10, "SASRec": 20},
            "frozen": {"PLM": 7},
            "environment": {"python": "3.12.1", "torch": "2.9", "devices": "cpu"},
            **manifest,
        }
        folder = workspace.run(name)
        create_run(folder, config, facts)
        rows = [f"{epoch},{ndcg / 2},{ndcg},{loss}" for epoch, loss, ndcg in EPOCHS]
        (folder / "metrics.csv").write_text("\n".join(["epoch,HR@10,NDCG@10,loss", *rows]) + "\n")
        if finished:
            metrics = {
                "best_epoch": 2, "epochs": 3, "validation": {"HR@10": 0.15, "NDCG@10": 0.3, "loss": 3.0},
                "targets_per_second": 1234.4, "seconds": 61.2, "peak_rss_bytes": 2**20 * 300,
            }  # fmt: skip
            write_json(folder / "metrics.json", metrics)
        if tested is not None:
            write_json(folder / "test_metrics.json", tested)

    return make


@pytest.fixture
def details(workspace: Workspace) -> Callable[..., dict[str, Table]]:
    def details(*what: str) -> dict[str, Table]:
        config = InspectConfig.from_flat({"root": workspace.root, "runs": workspace.runs})
        return {table.title: table for table in inspect(what, config, Silent())}

    return details


def facts(table: Table) -> dict[str, Any]:
    return {str(row[0]): row[1] for row in table.rows}


def test_a_finished_run_that_was_evaluated(make: Make, details: Any) -> None:
    make("a", {"lr": 0.1}, result())
    found = details("a")
    told = facts(found["Run a"])
    assert (told["data set"], told["best epoch"], told["targets/s"]) == ("shop 1234", "2 of 3", 1234)
    assert found["Training, 3 epochs"].rows == [
        ["loss", 6.0, 2.0, 2.0, 3, "█▃▁"],
        ["NDCG@10", 0.1, 0.25, 0.3, 2, "▁█▆"],
    ]
    assert found["Metrics"].rows == [
        ["HR@10", 0.15, 0.5, 0.45, 0.55],
        ["NDCG@10", 0.3, 0.25, 0.2, 0.3],
    ]
    assert found["Metrics"].notes == ["candidates: all 30 items", "ties: against the model"]
    assert found["Groups of users, test"].rows == [
        ["all", "all", 12, 0.25, 0.2, 0.3],
        ["popularity of the target", "never in training", 3, 0.125, None, None],
    ]
    assert found["Parameters"].rows == [["projection", 10, 0], ["SASRec", 20, 0], ["PLM", 0, 7], ["in all", 30, 7]]
    assert {"python": "3.12.1", "torch": "2.9", "devices": "cpu"}.items() <= facts(found["Environment"]).items()
    configuration = found["Configuration"].rows
    assert configuration[0] == ["lr", "0.1", "flag"]
    assert ["sasrec_n_layers", "2", "default"] in configuration


def test_a_run_that_is_not_finished(make: Make, details: Any) -> None:
    make("a", finished=False)
    found = details("a")
    assert facts(found["Run a"])["state"] == "unfinished; go on with: plmrs train --resume a"
    assert "Metrics" not in found
    assert len(found["Training, 3 epochs"].rows) == 2


def test_an_older_evaluation_is_told(make: Make, details: Any) -> None:
    make("a", tested={"metrics": {"all": {}}})
    assert details("a")["Metrics"].notes == ["Evaluated by another version; run `plmrs evaluate` again."]
    assert details()["Trained"].rows[0][6] is None


def test_a_list_has_the_models_own_metric(make: Make, details: Any) -> None:
    make("a", tested=result())
    assert details()["Trained"].rows[0][4:7] == ["2 of 3", 0.3, 0.25]


def test_metrics_of_another_checkpoint_are_told(make: Make, details: Any, workspace: Workspace) -> None:
    for name, weights in (("a", "model.safetensors"), ("b", "checkpoints/last.ckpt")):
        make(name, tested=result(weights=f"/moved/{name}/{weights}"))
        (workspace.run(name) / "model.safetensors").touch()
    assert details("a")["Metrics"].notes[0] == "candidates: all 30 items"
    assert details("b")["Metrics"].notes[0] == "weights: last.ckpt, not model.safetensors"
    assert details("a", "b")["Metrics"].notes == ["b was measured with last.ckpt, not with model.safetensors."]


def test_what_differs_between_two_runs(make: Make, details: Any) -> None:
    other = result()
    other["groups"][0]["metrics"]["SASRec text"] = {"HR@10": 0.4, "NDCG@10": 0.5}
    make("a", {"lr": 0.1}, result())
    make("b", {"lr": 0.1, "max_epochs": 7}, other, parameters={"SASRec": 20}, plm=None)
    found = details("a", "b")
    assert found["Configuration: what differs"].columns == ["option", "a", "b"]
    assert found["Configuration: what differs"].rows == [["max_epochs", "100", "7"]]
    assert found["Made with: what differs"].rows == [["plm", "minilm", None]]
    assert ["trained: projection", 10, None] in found["Training"].rows
    metrics = {str(row[0]): row[1:] for row in found["Metrics"].rows}
    assert metrics["validation NDCG@10"] == [0.3, 0.3, 0.0]
    assert metrics["test NDCG@10"] == [0.25, 0.5, 0.25]
    assert found["Metrics"].notes == []
    intervals = found["Test metrics, 95 % intervals"]
    assert intervals.columns == ["metric", "a from", "to", "b from", "to"]
    assert intervals.rows == [["HR@10", 0.45, 0.55, 0.45, 0.55], ["NDCG@10", 0.2, 0.3, 0.2, 0.3]]


def test_what_keeps_runs_from_being_compared(make: Make, details: Any) -> None:
    make("a", tested=result())
    make("b", tested=result(protocol={"candidates": "train"}), dataset_fingerprint="9")
    make("c")
    notes = details("a", "b", "c")["Metrics"].notes
    assert notes == [
        "The runs were trained on different data: their metrics cannot be compared.",
        "Test metrics were measured under different protocols: candidates, ties.",
        "c is not evaluated yet: `plmrs evaluate c`.",
    ]


def test_two_runs_that_are_the_same(make: Make, details: Any) -> None:
    make("a")
    make("b")
    assert "Configuration: nothing differs" in details("a", "b")
    assert "Made with: nothing differs" in details("a", "b")


def test_only_runs_are_compared(make: Make, details: Any, small_dataset: Any, workspace: Workspace) -> None:
    make("a")
    workspace.prepared("small").parent.mkdir(parents=True)
    workspace.prepared("small").symlink_to(small_dataset.folder)
    with pytest.raises(UserError, match="Only runs are compared; small is none"):
        details("a", "small")
    with pytest.raises(UserError, match="There is no data set, cache or run z"):
        details("a", "z")


def test_it_fits_80_columns(make: Make, details: Any) -> None:
    make("a", tested=result())
    make("b", tested=result())
    for tables in (details("a"), details("a", "b"), details()):
        for title, table in tables.items():
            if title not in ("Environment", "Run a", "Trained"):  # these hold paths, or are drawn narrower
                assert max(map(len, plain_lines(table))) <= 80 or any("/" in note for note in table.notes)
