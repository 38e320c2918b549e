"""Full-ranking inference of a SASRec: `plmrs evaluate` beside a bare PyTorch loop, RePlay and RecTools, in one run.

    python benchmarks/inference.py [--peers PEERS] [--users 8000] [--items 3400] [--repeat 5] [--threads N]

PEERS holds an environment of each library, made as `sequences.py` says; one that is not there is left out. All rank the
same users' 50 items with a model of length 50, width 64, 2 blocks and 2 heads, 256 users at a time, seen items left
out; what the models have learned does not matter. Each library's own door is measured, from histories to the best 20
items of each user; plmrs and the bare loop also find each target's rank. Each has a process of its own, with as many
threads; users a second are medians.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
from ranked.common import LENGTH


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="folder of the libraries' environments")
    parser.add_argument("--work", type=Path, default=Path("benchmark"), help="default: benchmark")
    parser.add_argument("--users", type=int, default=8_000)
    parser.add_argument("--items", type=int, default=3_400)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(options.threads)
    work = (options.work / "inference").absolute()
    work.mkdir(parents=True, exist_ok=True)
    histories = np.random.default_rng(0).integers(1, options.items + 1, (options.users, LENGTH))
    np.savez(work / "data.npz", n_items=options.items, histories=histories)
    found: dict[str, list[float]] = {}
    for name in ("plmrs", "replay", "rectools"):
        python = Path(sys.executable) if name == "plmrs" else options.peers and options.peers / name / "bin" / "python"
        if python is None or not python.is_file():
            print(f"{name} is left out: {f'there is no {python}' if python else 'name its environment with --peers'}")
            continue
        program = Path(__file__).parent / "ranked" / f"with_{name}.py"
        words = [python.absolute(), program.absolute(), work / "data.npz", work / f"{name}.json"]
        subprocess.run([*map(str, words), "--repeat", str(options.repeat)], cwd=work, check=True)
        found |= json.loads((work / f"{name}.json").read_text())
    base = statistics.median(found["bare loop: ranks"])
    print(f"\n{options.users:,} users, {options.items:,} items, {options.threads} threads\n")
    print("| way | users/s | × bare loop |\n| --- | ---: | ---: |")
    for name, speeds in found.items():
        print(f"| {name} | {statistics.median(speeds):,.0f} | {statistics.median(speeds) / base:.2f} |")


if __name__ == "__main__":
    main()
