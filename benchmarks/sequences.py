"""Training an id-SASRec: `plmrs train` beside a bare PyTorch loop, RePlay, RecTools and RecBole, in one run.

    python benchmarks/sequences.py FOLDER [--peers PEERS] [--work WORK] [--seconds 40] [--repeat 3] [--only NAME ...]

FOLDER holds items.tsv and interactions.tsv; the `--items` most taken items are kept. Each library lives in an
environment of its own below PEERS; one that is not there is left out. They are made so:

    python -m venv PEERS/replay    &&  PEERS/replay/bin/pip install torch==2.13.0 'replay-rec[torch]==0.22.0'
    python -m venv PEERS/rectools  &&  PEERS/rectools/bin/pip install torch==2.13.0 'rectools[torch]==0.19.0'
    python -m venv PEERS/recbole   &&  PEERS/recbole/bin/pip install torch==2.13.0 recbole==1.2.1 'numpy<2' 'pandas<2.3'

Settings of all: the last 51 items of each user's training history, length 50, width 64 (also within the feed-forward
layers, which RecTools fixes), 2 blocks, 2 heads, batches of 128, dropout .2, rate .001, cross-entropy over all items.
Each library's own: RePlay and RecTools drop attention weights out as well; plmrs compares by cosine, the others by
plain products; plmrs validates after every epoch, within its time, and keeps the best epoch; a row of RecBole is one
target instead of a window (`sasrec/with_recbole.py`).

Every program trains for `--seconds` in a process of its own, in turn. Sequences a second are the median over steps, the
first left out. The first step is counted from the start of the process. Scores of all items for every user's last item
are then ranked by one and the same code: earlier items masked, ties against the model.
"""

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from texts import PLMRS

PROGRAMS = {
    "plmrs": None,
    "bare-chunks": ("bare.py", "--loss", "chunks"),
    "bare-whole": ("bare.py", "--loss", "whole"),
    "replay": ("with_replay.py",),
    "rectools": ("with_rectools.py",),
    "recbole": ("with_recbole.py",),
}
LENGTH = 50
SETTINGS = {
    "input-type": "id",
    "sasrec-seq-len": LENGTH,
    "sasrec-hidden-size": 64,
    "sasrec-inner-size": 64,
    "sasrec-n-layers": 2,
    "sasrec-n-heads": 2,
    "sasrec-hidden-dropout": 0.2,
    "windows": "last",
    "batch-size": 128,
    "lr": 1e-3,
    "early-stop-patience": 100_000,
    "accelerator": "cpu",
}
COLUMNS = {"sequences_per_second": 0, "targets_per_second": 0, "seconds_to_first_step": 1, "NDCG@10": 4, "HR@10": 4}
COLUMNS |= {"epochs": 1, "seconds": 0, "peak_gib": 2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--peers", type=Path, help="folder of the libraries' environments")
    parser.add_argument("--work", type=Path, default=Path("benchmark"), help="default: benchmark")
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    parser.add_argument("--items", type=int, default=3_400)
    parser.add_argument("--users", type=int, help="only so many users, to try the benchmark out")
    parser.add_argument("--seconds", type=float, default=40, help="of training, each")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(options.threads)
    work = (options.work / "sequences").absolute()
    shutil.rmtree(work, ignore_errors=True)
    prepare(options.folder, work, options.items, options.users)
    programs = present(options.only, options.peers)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in programs}
    for seed in range(options.repeat):
        for name in programs:
            result = work / f"{name}-{seed}"
            result.mkdir()
            words = PROGRAMS[name]
            if words is None:
                row = train_plmrs(work, result, options.seconds, seed)
            else:
                row = train_peer(python_of(name, options.peers), words, work, result, options.seconds, seed)
            row |= quality(work, result)
            row["peak_gib"] = row.pop("peak_rss_bytes") / 2**30
            found[name].append(row)
            shown = ", ".join(f"{column} {row[column]:,.{digits}f}" for column, digits in COLUMNS.items())
            print(f"{name}, {seed + 1} of {options.repeat}: {shown}", flush=True)
    (work / "results.json").write_text(json.dumps(found, indent=1))
    print(f"\nmedians of {options.repeat}, {options.threads} threads, {options.items:,} items at most\n")
    print_table(found)


def prepare(folder: Path, work: Path, n_items: int, n_users: int | None) -> None:
    """Prepare the most taken items as a data set of plmrs, and write what the other programs read."""
    from plmrs.data.dataset import open_dataset
    from plmrs.data.splits import split_of
    from plmrs.data.windows import padded, training_windows
    from plmrs.workspace import Workspace

    (work / "raw").mkdir(parents=True)
    taken = pd.read_csv(folder / "interactions.tsv", sep="\t", dtype=str)
    if n_users is not None:
        taken = taken[taken["user_id"].isin(taken["user_id"].unique()[:n_users])]
    taken = taken[taken["item_id"].isin(taken["item_id"].value_counts().index[:n_items])]
    items = pd.read_csv(folder / "items.tsv", sep="\t", dtype=str, quoting=csv.QUOTE_NONE)
    items = items[items["item_id"].isin(taken["item_id"])]
    tables = {"items": items, "interactions": taken}
    words = ["prepare", "set", "--root", str(work / "data")]
    for name, table in tables.items():
        table.to_csv(work / "raw" / f"{name}.tsv", sep="\t", index=False, quoting=csv.QUOTE_NONE)
        words += [f"--{name}", str(work / "raw" / f"{name}.tsv")]
    subprocess.run([*PLMRS, *words], check=True, stdout=subprocess.DEVNULL)
    dataset = open_dataset(Workspace(work / "data", work / "runs"), "set")
    split = split_of(dataset)
    windows = padded(training_windows(split.train, LENGTH, "last"), LENGTH + 1)
    histories = padded(split.test.inputs, LENGTH)
    np.savez(work / "data.npz", n_items=dataset.n_items, windows=windows, histories=histories)
    print(f"{len(windows):,} windows, {(windows[:, 1:] > 0).sum():,} targets, {dataset.n_items:,} items", flush=True)


def python_of(name: str, peers: Path | None) -> Path | None:
    """The interpreter that runs a program; None where a library's environment is not known."""
    if name.startswith("bare"):
        return Path(sys.executable)
    return peers and (peers / name / "bin" / "python").absolute()


def present(names: Sequence[str], peers: Path | None) -> list[str]:
    """The programs that can run; says which library has no environment."""
    found = []
    for name in names:
        python = python_of(name, peers)
        if name == "plmrs" or (python is not None and python.is_file()):
            found.append(name)
        else:
            print(f"{name} is left out: {f'there is no {python}' if python else 'name its environment with --peers'}")
    return found


def train_peer(
    python: Path | None, words: Sequence[str], work: Path, result: Path, seconds: float, seed: int
) -> dict[str, Any]:
    """Run one of the programs in `sasrec/`, which leaves its numbers and scores in `result`."""
    program = Path(__file__).absolute().parent / "sasrec" / words[0]
    given = [str(python), str(program), str(work / "data.npz"), str(result), "--seconds", str(seconds)]
    given += ["--seed", str(seed), "--started", str(time.time()), *words[1:]]
    run(given, result)
    found: dict[str, Any] = json.loads((result / "result.json").read_text())
    return found


def train_plmrs(work: Path, result: Path, seconds: float, seed: int) -> dict[str, Any]:
    """Train through the command line: two epochs, then as many as fit in the time, as it stops between epochs only."""
    from plmrs.data.dataset import open_dataset
    from plmrs.data.splits import split_of
    from plmrs.model.load import load_run
    from plmrs.model.run import open_run
    from plmrs.workspace import Workspace

    places, folder = ["--root", str(work / "data"), "--runs", str(work / "runs")], work / "runs" / result.name
    options = [word for name, value in SETTINGS.items() for word in (f"--{name}", str(value))]
    begin = ["train", "--dataset", "set", "--name", result.name, "--seed", str(seed), "--max-epochs", "2"]
    noting = [sys.executable, str(Path(__file__).absolute().parent / "sasrec" / "with_plmrs.py"), str(result / "first")]
    started = time.time()
    run([*noting, *begin, *options, *places], result)
    first = json.loads((folder / "metrics.json").read_text())
    with (folder / "metrics.csv").open() as file:
        an_epoch = float(list(csv.DictReader(file))[-1]["seconds"])
    epochs = max(3, 2 + int((seconds - first["seconds"]) / an_epoch))
    run([*PLMRS, "train", "--resume", result.name, "--max-epochs", str(epochs), *places], result)
    found = json.loads((folder / "metrics.json").read_text())
    workspace = Workspace(work / "data", work / "runs")
    model = load_run(workspace, open_run(workspace, result.name))[0]
    test = split_of(open_dataset(workspace, "set")).test
    np.save(result / "scores.npy", np.concatenate([part.numpy() for part in model.scores(test.inputs, 256)]))
    return {
        "sequences_per_second": found["windows_per_second"],
        "targets_per_second": found["targets_per_second"],
        "seconds_to_first_step": float((result / "first").read_text()) - started,
        "seconds": found["seconds"],
        "epochs": found["epochs"],
        "peak_rss_bytes": found["peak_rss_bytes"],
        "version": "this",
    }


def run(words: Sequence[str], result: Path) -> None:
    """Run a program in its folder, where some libraries leave files; what it says goes to a log, shown on failure."""
    with (result / "log.txt").open("a") as log:
        code = subprocess.run(words, cwd=result, stdout=log, stderr=subprocess.STDOUT).returncode
    if code:
        sys.exit(f"{' '.join(words)}\n{(result / 'log.txt').read_text()[-4000:]}")


def quality(work: Path, result: Path) -> dict[str, float]:
    """Metrics of a program's scores over all test users."""
    import torch

    from plmrs.data.dataset import open_dataset
    from plmrs.data.splits import split_of
    from plmrs.model.metrics import metrics
    from plmrs.model.ranking import mask_seen, target_ranks
    from plmrs.workspace import Workspace

    test = split_of(open_dataset(Workspace(work / "data", work / "runs"), "set")).test
    targets = torch.from_numpy(test.targets.astype(np.int64) - 1)
    scores = mask_seen(torch.from_numpy(np.load(result / "scores.npy")), test.inputs, targets)
    return metrics(target_ranks(scores, targets).numpy(), [10])


def print_table(found: dict[str, list[dict[str, Any]]]) -> None:
    """Medians of each program's numbers, as a Markdown table."""
    base = [row["sequences_per_second"] for row in found.get("bare-chunks", [])]
    print("| program | version | " + " | ".join(COLUMNS) + " | × bare-chunks |")
    print("| --- " * (len(COLUMNS) + 3) + "|")
    for name, rows in found.items():
        cells = [f"{statistics.median(row[key] for row in rows):,.{digits}f}" for key, digits in COLUMNS.items()]
        speed = statistics.median(row["sequences_per_second"] for row in rows)
        cells.append(f"{speed / statistics.median(base):.2f}" if base else "")
        print(f"| {name} | {rows[0]['version']} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
