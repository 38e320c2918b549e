"""The five commands in turn, as a user types them, on a small table and tiny PLMs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PLMRS = Path(sys.executable).with_name("plmrs")
SMALL = ["--sasrec-hidden-size", "16", "--sasrec_inner_size", "32", "--sasrec-seq-len", "6", "--batch-size", "16"]


def write_shop(folder: Path) -> list[str]:
    """A shop of 300 items and 60 users who walk through neighbouring items; the arguments that prepare it."""
    texts = [f"{i:04d}\t{('river', 'garden', 'engine')[i % 3]} number {i // 3}, déjà vu" for i in range(300)]
    (folder / "items.tsv").write_text("what\ttitle\n" + "\n".join(texts) + "\n", encoding="utf-8")
    steps = [(user, step) for user in range(60) for step in range(5 + user % 9)]
    rows = [f"u{user},{(7 * user + 3 * step) % 300:04d},{100 + step}" for user, step in steps]
    (folder / "clicks.csv").write_text("who,what,when\n" + "\n".join(rows) + "\n")
    names = ["--item-column", "what", "--user-column", "who", "--time-column", "when"]
    return ["--items", "items.tsv", "--interactions", "clicks.csv", *names]


def plmrs(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PLMRS, *arguments],
        cwd=folder,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def well(folder: Path, *arguments: str) -> str:
    """What a command that must succeed printed."""
    done = plmrs(folder, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("family", ["tiny_bert", "tiny_opt"])
def test_the_whole_path(family: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    plm = str(request.getfixturevalue(family))
    told = well(tmp_path, "prepare", "shop", *write_shop(tmp_path))
    assert "data/prepared/shop" in told
    processes = ["--accelerator", "cpu", "--devices", "0", "1"] if family == "tiny_opt" else []
    assert "300" in well(tmp_path, "preinfer", "--plm", plm, *processes)
    told = well(tmp_path, "train", "--max-epochs", "2", *SMALL)
    assert "Training on shop, the data set prepared last." in told
    assert "epoch 2:" in told
    name = f"shop-text-{Path(plm).name}"
    told = well(tmp_path, "evaluate", name)
    for part in ("SASRec text", "popularity", "ItemKNN", "ties: against the model", "all 300 items"):
        assert part in told
    result = json.loads((tmp_path / "runs" / name / "test_metrics.json").read_text())
    names = {f"{metric}@{k}" for metric in ("HR", "NDCG", "MRR") for k in (5, 10, 20)}
    assert set(result["groups"][0]["metrics"]["SASRec text"]) == names
    told = well(tmp_path, "inspect")
    assert name in told
    assert "1 of 2" in told or "2 of 2" in told
    assert "Configuration" in well(tmp_path, "inspect", name)


def test_missing_data_and_cache_are_announced_and_made(tmp_path: Path, tiny_bert: Path) -> None:
    told = well(tmp_path, "train", "--dataset", "demo", "--plm", str(tiny_bert), "--max-epochs", "1", *SMALL)
    assert "Data set demo is not prepared" in told
    assert "No cache of item vectors fits data set demo" in told
    assert (tmp_path / "runs" / "demo-text-tiny-bert" / "metrics.json").is_file()


def test_deepspeed_is_not_loaded_unless_its_strategy_is_chosen() -> None:
    code = "import sys, plmrs.train.command; sys.exit('deepspeed' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
