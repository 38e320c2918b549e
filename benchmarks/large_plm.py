"""A PLM larger than the memory it gets: block by block beside whole, time and peak memory.

    python benchmarks/large_plm.py [--work WORK] [--texts 2000] [--memory 1GiB] [--precision 32]

Writes a checkpoint of OPT-1.3b's shape with random weights (2.6 GB in float16, in shards) and a data set of short
titles, then runs `plmrs preinfer` twice, with `--max-memory` and with all the machine has, each in a process of its
own, and compares the caches byte by byte.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from texts import PLMRS, prepare_texts

WORDS = [
    "river",
    "council",
    "doctor",
    "teacher",
    "garden",
    "market",
    "singer",
    "engine",
    "planet",
    "bakery",
    "opens",
    "wins",
    "loses",
    "finds",
    "repairs",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("benchmark"), help="workspace; default: benchmark")
    parser.add_argument("--texts", type=int, default=2_000)
    parser.add_argument("--memory", default="1GiB")
    parser.add_argument("--precision", default="32")
    options = parser.parse_args()
    plm = options.work / "opt-1.3b-shape"
    if not (plm / "config.json").is_file():
        write_plm(plm)
    rng = np.random.default_rng(0)
    titles = [" ".join(rng.choice(WORDS, rng.integers(4, 17))) for _ in range(options.texts)]
    prepare_texts(options.work, "titles", titles)
    rows = {}
    for name, words in {f"--max-memory {options.memory}": ["--max-memory", options.memory], "whole": []}.items():
        shutil.rmtree(options.work / "data" / "cache", ignore_errors=True)
        given = ["preinfer", "--dataset", "titles", "--plm", str(plm), "--root", str(options.work / "data")]
        given += ["--accelerator", "cpu", "--devices", "0", "--precision", options.precision, *words]
        rows[name] = run([*PLMRS, *given])
        kept = options.work / name.strip("-").replace(" ", "-")
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(next((options.work / "data" / "cache").glob("*/*/final-*.zarr")), kept)
        seconds, cpu, peak = rows[name]
        print(f"{name:24} {seconds:7.0f} s  CPU {cpu:7.0f} s  peak {peak / 2**30:.2f} GiB", flush=True)
    (slow, slow_cpu, _), (fast, fast_cpu, _) = rows.values()
    print(f"block by block takes {slow / fast:.2f} × the time of the whole, {slow_cpu / fast_cpu:.2f} × by CPU seconds")
    one, other = (folder for folder in sorted(options.work.glob("*")) if (folder / "zarr.json").is_file())
    chunks = [path.relative_to(one) for path in one.glob("*/c/*/*")]
    same = all((one / chunk).read_bytes() == (other / chunk).read_bytes() for chunk in chunks)
    print(f"all {len(chunks)} chunks are identical" if same and chunks else "THE CACHES DIFFER")


def run(words: list[str]) -> tuple[float, float, int]:
    """Seconds, the CPU's seconds and peak resident bytes of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(words)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{words[3]} failed")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def write_plm(folder: Path) -> None:
    """Random weights in OPT-1.3b's shape, a shard a few blocks, and a tokenizer of whole words."""
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import OPTConfig, OPTModel, PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    config = OPTConfig(
        hidden_size=2048, ffn_dim=8192, num_hidden_layers=24, num_attention_heads=32, word_embed_proj_dim=2048
    )
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in OPTModel(config).state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    shards: dict[str, dict[str, torch.Tensor]] = {}
    names = {}
    for name, shape in shapes.items():
        part = int(name.split("layers.")[1].split(".")[0]) // 4 + 1 if "layers." in name else 0
        shard = f"model-{part + 1:05d}-of-00007.safetensors"
        scale = 1.0 if "norm" in name and name.endswith("weight") else 0.02
        base = torch.ones(shape) if scale == 1.0 else torch.zeros(shape)
        values = base + 0.02 * torch.randn(shape, generator=generator)
        shards.setdefault(shard, {})[name] = values.half()
        names[name] = shard
    for shard, tensors in shards.items():
        save_file(tensors, folder / shard, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
    vocabulary = {word: number for number, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>").save_pretrained(folder)
    config.save_pretrained(folder)


if __name__ == "__main__":
    main()
