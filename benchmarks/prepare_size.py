"""Time and peak memory of `plmrs prepare` beside merely parsing the same files with pandas' fastest engine.

    python benchmarks/logs.py mind FOLDER
    python benchmarks/prepare_size.py mind FOLDER [--work WORK] [--repeats N]

FOLDER is what `logs.py` wrote, or the official files. Each measurement is a fresh process, from its start to its end;
they take turns, and the files are read once before the first. Peak memory is that of the process with its children,
files that it maps included. The parse drops each table before it reads the next.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

PLMRS = Path(sys.executable).with_name("plmrs")
MOST_TIMES, MOST_GIB, MOST_SECONDS = 2.5, 6.0, 0.2  # the goals: of the parse, of memory, of opening
NAMES = {"mind": "MIND_large", "hm": "hm"}

# pandas' pyarrow engine cannot switch quoting off: a character that no file holds takes the quote's place.
LAYOUTS: dict[str, dict[str, Any]] = {
    "mind": {"sep": "\t", "header": None, "quotechar": "\x01"},
    "hm": {"dtype": {"article_id": "str"}},
}
PARSERS: dict[str, dict[str, Any]] = {"numpy types": {}, "pyarrow types": {"dtype_backend": "pyarrow"}}

PARSE = """
import json, sys, time
import pandas as pd
start, rows = time.perf_counter(), {}
for path, options in json.loads(sys.argv[1]).items():
    rows[path] = len(pd.read_csv(path, engine="pyarrow", **options))
print(json.dumps({"seconds": time.perf_counter() - start, "rows": rows}))
"""

OPEN = """
import json, sys, time
start = time.perf_counter()
from pathlib import Path
from plmrs.data.dataset import open_dataset
from plmrs.workspace import Workspace
imported = time.perf_counter()
dataset = open_dataset(Workspace(Path(sys.argv[1]), Path(sys.argv[1]) / "runs"), sys.argv[2])
user = dataset.n_users // 2
histories = dataset.histories
items = histories.items[histories.start[user] : histories.stop[user]].tolist()
print(json.dumps({"seconds": time.perf_counter() - imported, "imports": imported - start, "items": len(items)}))
"""


class Measured(NamedTuple):
    """A process that has ended: its seconds, its peak memory in GiB, and what it printed."""

    seconds: float
    gib: float
    output: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layout", choices=tuple(NAMES))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, default=Path("benchmark"), help="workspace; default: benchmark")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    name, work = NAMES[arguments.layout], arguments.work
    files = files_of(arguments.layout, arguments.folder)
    linked = work / "raw" / name
    linked.parent.mkdir(parents=True, exist_ok=True)
    linked.unlink(missing_ok=True)
    linked.symlink_to(arguments.folder.resolve())

    print(f"{os.cpu_count()} cores; OMP_NUM_THREADS {os.environ.get('OMP_NUM_THREADS', 'not set')}")
    for path in files:
        print(f"{path.relative_to(arguments.folder)}: {path.stat().st_size / 1e6:,.0f} MB")
        warm(path)
    print(f"together: {sum(path.stat().st_size for path in files) / 1e9:.2f} GB\n", flush=True)

    runs: dict[str, list[Measured]] = {}
    for _ in range(arguments.repeats):
        for kind, options in PARSERS.items():
            reads = {str(path): LAYOUTS[arguments.layout] | options for path in files}
            run(runs, f"parse, {kind}", [sys.executable, "-c", PARSE, json.dumps(reads)])
        shutil.rmtree(work / "prepared" / name, ignore_errors=True)
        run(runs, "prepare", [str(PLMRS), "prepare", name, "--root", str(work), "--runs", str(work / "runs")])
        run(runs, "open", [sys.executable, "-c", OPEN, str(work), name])
    show(runs)
    print(compared(arguments.folder, work / "prepared" / name, runs))


def files_of(layout: str, folder: Path) -> list[Path]:
    """The files that `prepare` reads."""
    if layout == "hm":
        return [folder / "articles.csv", folder / "transactions_train.csv"]
    parts = [folder / f"MINDlarge_{part}" for part in ("train", "dev", "test")]
    return [part / file for part in parts if part.is_dir() for file in ("news.tsv", "behaviors.tsv")]


def warm(path: Path) -> None:
    """Read a file, so that every measurement finds it in the page cache."""
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass


def run(runs: dict[str, list[Measured]], what: str, command: Sequence[str]) -> None:
    """Measure a process and add it to the runs of its kind."""
    runs.setdefault(what, []).append(measured(command))
    print(f"{what}: {runs[what][-1].seconds:.1f} s, {runs[what][-1].gib:.2f} GiB", flush=True)


def measured(command: Sequence[str]) -> Measured:
    """Run a process to its end.

    This process stays small, because a child's peak counts what its parent held when it began.
    """
    import psutil

    peak = 0
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        root = psutil.Process(process.pid)
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            peak = max(peak, resident(root))
            time.sleep(0.02)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"{command[0]} {command[1]} failed with exit code {process.returncode}.\n{output}")
    # The sum over the process and its children is polled; the greatest of them alone is exact.
    return Measured(seconds, max(peak, usage.ru_maxrss * 1024) / 2**30, output)


def resident(root: Any) -> int:
    """Bytes in memory of a process and its children."""
    import psutil

    total = 0
    try:
        for process in (root, *root.children(recursive=True)):
            total += process.memory_info().rss
    except psutil.NoSuchProcess:
        pass  # one ended meanwhile; the next look counts the others
    return total


def show(runs: dict[str, list[Measured]]) -> None:
    """Print the medians as a table, and whether the goals are met."""
    inner = {
        what: median(json.loads(each.output)["seconds"] for each in done)
        for what, done in runs.items()
        if what != "prepare"
    }
    whole = {what: median(each.seconds for each in done) for what, done in runs.items()}
    peak = {what: max(each.gib for each in done) for what, done in runs.items()}
    fastest = min((what for what in runs if what.startswith("parse")), key=whole.__getitem__)
    imports = median(json.loads(each.output)["imports"] for each in runs["open"])

    print(f"\n{'':22} seconds  without start  × parse  peak GiB")
    for what in runs:
        alone = f"{inner[what]:13.3f}" if what in inner else " " * 13
        mark = "  fastest parse" if what == fastest else ""
        print(f"{what:22} {whole[what]:7.2f}  {alone}  {whole[what] / whole[fastest]:7.2f}  {peak[what]:8.2f}{mark}")
    print(f"Without start: without Python's start and the imports (of plmrs.data.dataset: {imports:.2f} s).\n")
    ratio = whole["prepare"] / whole[fastest]
    for said, value, most in (
        ("prepare, times the fastest parse", ratio, MOST_TIMES),
        ("prepare, peak GiB", peak["prepare"], MOST_GIB),
        ("open, seconds", inner["open"], MOST_SECONDS),
    ):
        print(f"{said}: {value:.3g}, goal at most {most}: {'met' if value <= most else 'MISSED'}")


def compared(folder: Path, prepared: Path, runs: dict[str, list[Measured]]) -> str:
    """Whether pandas and plmrs found what the generator wrote."""
    if not (folder / "truth.json").is_file():
        return "These files have no truth.json; what was read is not checked."
    truth = json.loads((folder / "truth.json").read_text())
    counts = json.loads((prepared / "manifest.json").read_text())["counts"]
    found = {
        **{f"{what}'s rows": rows_by_file(done[0], folder) for what, done in runs.items() if what.startswith("parse")},
        "users": counts["users"],
        "items": counts["items"],
        "clicks": counts["interactions"],
    }
    told = {
        **{what: truth["rows"] for what in found if what.startswith("parse")},
        "users": truth["users_with_5"],
        "items": truth["items"],
        "clicks": truth["clicks_of_users_with_5"],
    }
    wrong = [f"{what}: {found[what]} instead of {told[what]}" for what in found if found[what] != told[what]]
    return "Not what truth.json says: " + "; ".join(wrong) if wrong else "Both found what truth.json says."


def rows_by_file(parse: Measured, folder: Path) -> dict[str, int]:
    """The rows of each file that a parse found."""
    return {str(Path(path).relative_to(folder)): n for path, n in json.loads(parse.output)["rows"].items()}


if __name__ == "__main__":
    main()
