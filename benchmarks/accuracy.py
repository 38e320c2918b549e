"""Accuracy of id, text and text+id beside methods without training, on a folder of items.tsv and interactions.tsv.

    python benchmarks/accuracy.py FOLDER [--preset long_histories] [--work WORK] [options of plmrs train]

Prepares the tables, encodes the items with the packaged MiniLM, trains the three inputs with one set of options, ranks
all items for every test user, and prints one table. A second call goes on with what the first has finished.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

PLMRS = Path(sys.executable).with_name("plmrs")
INPUTS = ("id", "text", "text+id")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, default=Path("benchmark"), help="workspace; default: benchmark")
    arguments, options = parser.parse_known_args()
    places = ["--root", str(arguments.work / "data"), "--runs", str(arguments.work / "runs")]

    def plmrs(*words: str) -> None:
        print("$ plmrs", *words, flush=True)
        subprocess.run([PLMRS, *words, *places], check=True)

    if not (arguments.work / "data" / "prepared" / "set").is_dir():
        tables = [str(arguments.folder / name) for name in ("items.tsv", "interactions.tsv")]
        plmrs("prepare", "set", "--items", tables[0], "--interactions", tables[1])
    plmrs("preinfer", "--dataset", "set", "--plm", "minilm")
    rows = {}
    for kind in INPUTS:
        run = arguments.work / "runs" / kind
        if not (run / "metrics.json").is_file():
            begun = ["--resume", kind] if run.is_dir() else ["--name", kind, "--input-type", kind, *options]
            plmrs("train", "--dataset", "set", "--plm", "minilm", *begun)
        plmrs("evaluate", kind)
        found = json.loads((run / "test_metrics.json").read_text())["groups"][0]["metrics"]
        rows.update(found)
        trained = json.loads((run / "metrics.json").read_text())
        rows[f"SASRec {kind}"]["minutes"] = trained["seconds"] / 60
    print(f"\n{'method':26}  HR@10  NDCG@10  minutes of training")
    for method, row in rows.items():
        print(f"{method:26}  {row['HR@10']:.4f}  {row['NDCG@10']:.4f}   {row.get('minutes', 0):.1f}")


if __name__ == "__main__":
    main()
