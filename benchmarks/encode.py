"""Item vectors a second: `plmrs preinfer` beside sentence-transformers and beside padding all texts to one length.

    pip install sentence-transformers
    python benchmarks/encode.py ITEMS [--work WORK] [--texts 10000] [--repeats 3] [--bf16]

ITEMS is a table with a column of texts, as `items.tsv` of goodbooks. Every row runs the packaged MiniLM over the same
texts, cut to 30 tokens, mean pooled, in a process of its own; in turn, `--repeats` times. Seconds are those from the
loaded model to the last vector, medians. sentence-transformers runs at the best of several batch sizes.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from texts import PLMRS, prepare_texts

LENGTH = 30
SIZES = (16, 32, 64, 128, 256)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", type=Path)
    parser.add_argument("--work", type=Path, default=Path("benchmark"), help="workspace; default: benchmark")
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--bf16", action="store_true", help="also in bfloat16; slow where it is emulated")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(globals()[options.run.split(":")[0]](options, *options.run.split(":")[1:])))
        return
    table = pd.read_csv(options.items, sep="\t", quoting=3, dtype=str).head(options.texts)
    prepare_texts(options.work, "texts", table["text"].tolist())
    rows = {"padded to 30, batches of 64": "padded:32", "sentence-transformers": "sentence_transformers:32"}
    rows |= {"plmrs preinfer": "preinfer:32:0", "plmrs preinfer, 2 processes": "preinfer:32:0 1"}
    if options.bf16:
        rows |= {name + ", bf16": run.replace(":32", ":bf16") for name, run in rows.items() if "padded" not in name}
    found: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(options.repeats):
        for name, run in rows.items():
            words = [sys.executable, __file__, str(options.items), "--work", str(options.work), "--run", run]
            words += ["--texts", str(options.texts)]
            said = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
            result = json.loads(said)
            found[name].append(options.texts / result["seconds"])
            print(f"{name:34} {found[name][-1]:7.0f} items/s  {result.get('note', '')}", flush=True)
    base = statistics.median(found["sentence-transformers"])
    print(f"\n{'':34} items/s  × sentence-transformers")
    for name, speeds in found.items():
        print(f"{name:34} {statistics.median(speeds):7.0f}  {statistics.median(speeds) / base:.2f}")


def texts(options: argparse.Namespace) -> list[str]:
    from plmrs.data.dataset import open_dataset
    from plmrs.workspace import Workspace

    return open_dataset(Workspace(options.work / "data", options.work / "runs"), "texts").texts()


def folder() -> str:
    from plmrs.plm.checkpoint import find_plm

    return str(find_plm("minilm").folder)


def preinfer(options: argparse.Namespace, precision: str, devices: str) -> dict[str, float]:
    import shutil

    shutil.rmtree(options.work / "data" / "cache", ignore_errors=True)
    words = ["preinfer", "--dataset", "texts", "--plm", "minilm", "--root", str(options.work / "data")]
    words += ["--accelerator", "cpu", "--precision", precision, "--devices", devices]
    said = subprocess.run([*PLMRS, *words], check=True, capture_output=True, text=True).stdout
    seconds = re.search(r"^Seconds\s+([\d.]+)", said, re.MULTILINE)
    assert seconds is not None, said
    return {"seconds": float(seconds[1])}


def sentence_transformers(options: argparse.Namespace, precision: str) -> dict[str, object]:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    words = Transformer(folder(), max_seq_length=LENGTH)
    model = SentenceTransformer(modules=[words, Pooling(words.get_word_embedding_dimension(), "mean")], device="cpu")
    if precision == "bf16":
        model = model.to(torch.bfloat16)
    own = texts(options)
    best = (float("inf"), 0)
    for size in SIZES:
        start = time.perf_counter()
        model.encode(own[: max(500, len(own) // 10)], batch_size=size, show_progress_bar=False)
        best = min(best, (time.perf_counter() - start, size))
    start = time.perf_counter()
    model.encode(own, batch_size=best[1], show_progress_bar=False)
    return {"seconds": time.perf_counter() - start, "note": f"batches of {best[1]}"}


def padded(options: argparse.Namespace, precision: str) -> dict[str, float]:
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder()), AutoModel.from_pretrained(folder()).eval()
    own, vectors = texts(options), []
    start = time.perf_counter()
    with torch.inference_mode():
        for first in range(0, len(own), 64):
            given = tokenizer(
                own[first : first + 64], padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt"
            )
            states, mask = model(**given).last_hidden_state, given["attention_mask"].unsqueeze(2)
            vectors.append(((states * mask).sum(1) / mask.sum(1)).numpy())
    np.concatenate(vectors)
    return {"seconds": time.perf_counter() - start}


if __name__ == "__main__":
    main()
