"""Speed and memory on one CUDA card: `preinfer`, and `train` frozen, with the top 2 blocks and with the whole PLM.

    python benchmarks/gpu.py [--plm minilm] [--work WORK] [--trains top-2 …] [--strategies none fsdp …]

Prepares the demo data set, then runs the command line in a process of its own for each row: `preinfer` for the pooled
vectors and for the boundary below the top 2 blocks, and `train` for each precision, strategy and part that trains, all
on the first card. A run that fails is a row with its reason. The table is written after every row, so that what was
measured stays when the script is stopped.

Steps and users a second are medians over steps, from the run's metrics.json. Peak memory is the most that PyTorch held
of the card at once; what CUDA itself takes, some hundred MiB, comes on top.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from texts import PLMRS

RESULTS = Path(__file__).with_name("results") / "gpu.md"
TRAINS = {"frozen": "0", "top-2": "2", "full": "-1"}
STATES = {"pooled vectors": "0", "states below the top 2 blocks": "2"}
STRATEGIES = (
    "none", "ddp", "fsdp", "fsdp_offload", "deepspeed_stage_2", "deepspeed_stage_2_offload", "deepspeed_stage_3",
    "deepspeed_stage_3_offload",
)  # fmt: skip
PRECISIONS = ("32", "bf16-mixed")
PREINFER_COLUMNS = {"states": "states", "precision": "precision", "items_per_second": "items/s", "peak_gib": "peak GiB"}
TRAIN_COLUMNS = {
    "trains": "trains", "strategy": "strategy", "precision": "precision", "steps_per_second": "steps/s",
    "users_per_second": "users/s", "seconds_to_first_step": "s to the first step", "peak_gib": "peak GiB",
}  # fmt: skip

Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plm", default="minilm")
    parser.add_argument("--work", type=Path, default=Path("benchmark"), help="workspace; default: benchmark")
    parser.add_argument("--trains", nargs="+", choices=TRAINS, default=list(TRAINS))
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=15, help="after which a run is ended")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    import torch

    if not torch.cuda.is_available():
        print("This benchmark needs a CUDA card, and PyTorch finds none.", file=sys.stderr)
        return 2
    work = (options.work / "gpu").absolute()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    places = ["--root", str(work / "data"), "--runs", str(work / "runs")]
    subprocess.run([*PLMRS, "prepare", "demo", *places], check=True, stdout=subprocess.DEVNULL)
    card = f"{torch.cuda.get_device_name(0)}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}"
    found: dict[str, list[Row]] = {"preinfer": [], "train": []}
    for precision in options.precisions:
        for states, last_n in STATES.items():
            shutil.rmtree(work / "data" / "cache", ignore_errors=True)  # Else one is made from the other.
            row = {"states": states, "precision": precision.removesuffix("-mixed")}
            words = ["preinfer", "--plm-last-n-unfreeze", last_n, "--precision", row["precision"]]
            row |= measured(work, options.minutes, [*words, *common(options), "--root", str(work / "data")])
            tell(options, card, found, "preinfer", row)
    for trains in options.trains:
        for strategy in options.strategies:
            for precision in options.precisions:
                row = {"trains": trains, "strategy": strategy, "precision": precision}
                name = "-".join(row.values())
                words = ["train", "--plm-last-n-unfreeze", TRAINS[trains], "--strategy", strategy, "--name", name]
                words += ["--precision", precision, "--max-epochs", str(options.epochs)]
                row |= measured(work, options.minutes, [*words, *common(options), *places], name)
                tell(options, card, found, "train", row)
    print(f"Written to {options.output}.")
    return 0


def common(options: argparse.Namespace) -> list[str]:
    """Options that every run has."""
    return ["--dataset", "demo", "--plm", options.plm, "--accelerator", "gpu", "--devices", "0"]


def measured(work: Path, minutes: float, words: Sequence[str], run: str | None = None) -> Row:
    """Run a command line of plmrs in a process of its own: what it measured, or why it failed.

    Args:
        work: The workspace.
        minutes: After which it is ended.
        words: The command line.
        run: The name of the training, whose metrics.json is read; None for `preinfer`, which tells its speed.
    """
    peak = work / "peak"
    peak.unlink(missing_ok=True)
    command = [sys.executable, str(Path(__file__).absolute()), "--peak", str(peak), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60 * minutes)
    except subprocess.TimeoutExpired:
        return {"failed": f"ended after {minutes:g} minutes"}
    if done.returncode:
        return {"failed": reason(done.stderr) or f"exit code {done.returncode}"}
    row: Row = {"peak_gib": float(peak.read_text()) / 2**30}
    if run is None:
        told = re.search(r"^Items/s\s+([\d,.]+)", done.stdout, re.MULTILINE)
        return {**row, "items_per_second": float(told[1].replace(",", ""))} if told else {"failed": "told no speed"}
    metrics = json.loads((work / "runs" / run / "metrics.json").read_text())
    row["steps_per_second"] = metrics["windows_per_second"] / metrics["batch_size"]
    return {**row, **{key: metrics[key] for key in ("users_per_second", "seconds_to_first_step")}}


def reason(stderr: str) -> str:
    """Why a command failed, in a line: the error that plmrs tells, or else the last line of a traceback."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("Error")]
    return (told or lines[-1:] or [""])[0].replace("|", "/")[:200]


def tell(options: argparse.Namespace, card: str, found: dict[str, list[Row]], verb: str, row: Row) -> None:
    """Add a row, print it, and write the page as far as it goes."""
    found[verb].append(row)
    columns = PREINFER_COLUMNS if verb == "preinfer" else TRAIN_COLUMNS
    print(verb, table([row], columns)[-1], flush=True)
    options.output.write_text(page(card, options.plm, found), encoding="utf-8")


def table(rows: Sequence[Row], columns: dict[str, str]) -> list[str]:
    """Rows as a Markdown table; the reason of one that failed stands in the first column that it has no value for."""
    lines = [f"| {' | '.join(columns.values())} |", "| --- " * len(columns) + "|"]
    for row in rows:
        cells = [cell(row[key]) if key in row else "" for key in columns]
        if "failed" in row:
            cells[cells.index("")] = f"failed: {row['failed']}"
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def cell(value: str | float | None) -> str:
    """A number with three digits or all that are before the point."""
    if value is None or isinstance(value, str):
        return value or "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def page(card: str, plm: str, found: dict[str, list[Row]]) -> str:
    """What is written beside the other results."""
    head = (
        f"`python benchmarks/gpu.py --plm {plm}` on the demo data set, on one {card}. Medians over steps; peak"
        " memory is the most that PyTorch held of the card, without CUDA's own."
    )
    parts = ["# On one card", "", head, "", "## preinfer", "", *table(found["preinfer"], PREINFER_COLUMNS), ""]
    return "\n".join([*parts, "## train", "", *table(found["train"], TRAIN_COLUMNS), ""])


def with_peak(path: Path, words: Sequence[str]) -> int:
    """The command line of plmrs, which leaves in a file the most bytes that it held of the card."""
    from plmrs.cli import main as plmrs

    code = plmrs(words)
    import torch

    path.write_text(str(torch.cuda.max_memory_reserved()))
    return code


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        sys.exit(with_peak(Path(sys.argv[2]), sys.argv[3:]))
    sys.exit(main())
