"""Whether memory, open files and logs stay bounded over 10,000 steps of training and 10,000 units of preinfer.

    python benchmarks/long_runs.py FOLDER [--steps 10000] [--units 10000] [--of id states preinfer]

Makes a data set, a tiny language model and the runs in FOLDER. Each command is watched from outside while it writes to
log files as under a job scheduler. A unit of work has 4,096 tokens at least; here `plmrs.cache.layout` is told to cut
units of two texts, as 10,000 units would otherwise take 600 million tokens.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

USERS, BATCH, STEPS_AN_EPOCH = 1600, 16, 100
TOKENS_A_UNIT = 8
TINY = ["--sasrec-hidden-size", "16", "--sasrec-inner-size", "32", "--sasrec-n-layers", "1", "--sasrec-seq-len", "8"]
KINDS = {
    "id": ["--input-type", "id"],
    "states": ["--plm", "plm", "--plm-last-n-unfreeze", "1", "--num-workers", "2"],
}
SECONDS_A_SAMPLE = 0.2
SETTLED = 0.4
"""Share of the time after which nothing may grow any more: imports, buffers and first files lie before."""


@dataclass(frozen=True)
class Watched:
    """A command that was watched.

    Attributes:
        seconds: How long it took.
        resident: Its resident memory in MiB, from when it had settled. [samples]
        files: Its open files and sockets then. [samples]
        lines: Lines of its two logs.
        longest: Characters of their longest line.
    """

    seconds: float
    resident: np.ndarray
    files: np.ndarray
    lines: int
    longest: int

    @property
    def growth(self) -> float:
        """MiB by which the last fifth of the samples is above the first, by their medians."""
        fifth = max(1, len(self.resident) // 5)
        return float(np.median(self.resident[-fifth:]) - np.median(self.resident[:fifth]))


def watch(command: Sequence[str], folder: Path, log: Path) -> Watched:
    """Run a command in a folder, its output going to LOG.out and LOG.err."""
    logs = [log.with_suffix(suffix) for suffix in (".out", ".err")]
    started, samples = time.monotonic(), []
    with logs[0].open("w") as out, logs[1].open("w") as err:
        child = subprocess.Popen(command, cwd=folder, stdout=out, stderr=err)
        process = psutil.Process(child.pid)
        while child.poll() is None:
            try:
                sample = process.memory_info().rss / 2**20, process.num_fds()
            except psutil.Error:  # It has just ended.
                break
            if sample[0]:
                samples.append(sample)
            time.sleep(SECONDS_A_SAMPLE)
        if child.wait() != 0:
            raise SystemExit(f"{' '.join(command)} failed:\n{logs[1].read_text()}")
    seconds = time.monotonic() - started
    settled = np.array(samples[int(SETTLED * len(samples)) :])
    lines = [line for path in logs for line in path.read_text().splitlines()]
    return Watched(seconds, settled[:, 0], settled[:, 1], len(lines), max(map(len, lines)))


def plmrs(*words: str, first: str = "") -> list[str]:
    """A command line of plmrs; `first` is Python that runs before it."""
    return [sys.executable, "-c", f"import sys; {first}from plmrs.cli import main; sys.exit(main())", *words]


def write_plm(folder: Path, words: Sequence[str]) -> None:
    """A BERT of 2 blocks, width 16, with random weights and a tokenizer that knows some words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(vocabulary), **sizes)).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)


def write_dataset(folder: Path, name: str, words: Sequence[str], items: int) -> None:
    """Prepare items with texts of two words, all different, and users who took ten of them."""
    texts = [f"{number}\t{words[number % len(words)]} {words[number // len(words)]}\n" for number in range(items)]
    (folder / f"{name}.tsv").write_text("item_id\ttext\n" + "".join(texts))
    taken = [f"u{user},{(31 * user + 7 * step) % items}\n" for user in range(USERS) for step in range(10)]
    (folder / f"{name}.csv").write_text("user_id,item_id\n" + "".join(taken))
    given = ["prepare", name, "--items", f"{name}.tsv", "--interactions", f"{name}.csv"]
    subprocess.run(plmrs(*given), cwd=folder, check=True, stdout=subprocess.DEVNULL)


def watch_training(folder: Path, kind: str, steps: int) -> tuple[Watched, list[str]]:
    """Train so many steps, and say what is in the run's folder."""
    epochs = ["--max-epochs", str(steps // STEPS_AN_EPOCH), "--early-stop-patience", str(steps)]
    given = ["--batch-size", str(BATCH), "--accelerator", "cpu", "--name", kind, *epochs, *TINY, *KINDS[kind]]
    watched = watch(plmrs("train", "--dataset", "few", *given), folder, folder / f"train-{kind}")
    run = folder / "runs" / kind
    done = json.loads((run / "metrics.json").read_text())["epochs"]
    told = [f"{done * STEPS_AN_EPOCH:,} steps, {done} epochs"]
    parts = {"metrics.csv": "metrics.csv", "curves": "tensorboard/*"}
    sizes = {part: sum(file.stat().st_size for file in run.glob(files)) for part, files in parts.items()}
    return watched, [*told, *(f"{part} {size / 1024:.0f} KiB" for part, size in sizes.items())]


def watch_preinfer(folder: Path) -> tuple[Watched, list[str]]:
    """Encode all items of `many` in the smallest units."""
    first = f"from plmrs.cache import layout; layout.LEAST_TOKENS = layout.MOST_TOKENS = {TOKENS_A_UNIT}; "
    given = ["preinfer", "--dataset", "many", "--plm", "plm", "--accelerator", "cpu"]
    watched = watch(plmrs(*given, first=first), folder, folder / "preinfer")
    (cache,) = (folder / "data/cache/many").glob("*/final-*.zarr")
    units = len([mark for mark in (cache / "done").glob("*.json") if mark.stem.isdecimal()])
    return watched, [f"{units:,} units"]


def main(arguments: Sequence[str] | None = None) -> dict[str, Watched]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--units", type=int, default=10_000)
    parser.add_argument("--of", nargs="+", choices=[*KINDS, "preinfer"], default=[*KINDS, "preinfer"])
    options = parser.parse_args(arguments)
    folder = options.folder.absolute()
    folder.mkdir(parents=True)
    words = [f"w{number}" for number in range(max(150, int(np.ceil(np.sqrt(2 * options.units)))))]
    write_plm(folder / "plm", words)
    write_dataset(folder, "few", words, 300)
    if "preinfer" in options.of:
        write_dataset(folder, "many", words, 2 * options.units)
    found = {}
    print("| what | seconds | MiB from | to | growth | open files | log lines | longest | |")
    print("| --- " * 9 + "|")
    for kind in options.of:
        watched, told = watch_preinfer(folder) if kind == "preinfer" else watch_training(folder, kind, options.steps)
        rss = watched.resident
        numbers = [f"{watched.seconds:.0f}", f"{rss[0]:.0f}", f"{rss[-1]:.0f}", f"{watched.growth:+.1f}"]
        numbers += [f"{watched.files.min():.0f}–{watched.files.max():.0f}", str(watched.lines), str(watched.longest)]
        print(f"| {' | '.join([kind, *numbers, '; '.join(told)])} |", flush=True)
        found[kind] = watched
    return found


if __name__ == "__main__":
    main()
