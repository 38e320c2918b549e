"""What is disturbed: the five verbs on small data, and what of their results can be told to be finished.

`found` gives what in a folder looks finished, by name, as something that can be compared with an undisturbed run's. It
reads files itself and not through plmrs, which might overlook what it has written wrongly.
"""

import csv
import hashlib
import json
import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Found = dict[str, Any]
SUBJECTS = ("river", "council", "doctor", "teacher")
SMALL = "--sasrec-hidden-size 16 --sasrec-inner-size 32 --sasrec-n-layers 1 --sasrec-seq-len 8 --batch-size 64"
TRAIN = f"train --name one --windows last --warmup-steps 20 --accelerator cpu {SMALL}"
TABLES = "prepare shop --items items.csv --interactions clicks.csv"


@dataclass(frozen=True)
class Scene:
    """A command to disturb.

    Attributes:
        verb: Its verb.
        name: What is special about it.
        line: Its command line.
        before: Command lines that are run undisturbed before it.
        found: What in its folder looks finished.
        again: The command line that goes on, where that is another one: a beginning, and the file that asks for it.
    """

    verb: str
    name: str
    line: str
    before: tuple[str, ...]
    found: Callable[[Path], Found]
    again: tuple[str, str] | None = None

    def second(self, folder: Path) -> str:
        """What a user would type after it was disturbed."""
        return self.again[0] if self.again and (folder / self.again[1]).exists() else self.line


def digest(path: Path) -> str:
    """The hash of a file; of one that is missing, a word."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"


def prepared(folder: Path) -> Found:
    """A data set with a manifest, all its files together: those of two data sets are not one."""
    sets: Found = {}
    for manifest in (folder / "data" / "prepared").glob("*/manifest.json"):
        if ".partial-" not in manifest.parent.name:
            told = {**json.loads(manifest.read_text()), "created": None}
            parts = [digest(manifest.with_name(name)) for name in ("items.feather", "histories.feather")]
            sets[f"data set {manifest.parent.name}"] = (told, parts)
    return sets


def cached(folder: Path) -> Found:
    """Tokens, and the units of caches that have a done-mark, with the chunks that belong to them."""
    found: Found = {
        path.name: digest(path)
        for path in (folder / "data" / "prepared").glob("*/tokens/*")
        if ".partial-" not in path.name
    }
    for cache in (folder / "data" / "cache").glob("*/*/*.zarr"):
        for mark in cache.glob("done/[0-9]*.json"):
            if ".partial-" not in mark.name:
                told = json.loads(mark.read_text())
                chunks = [digest(cache / array / "c" / mark.stem / "0") for array in sorted(told["crc32c"])]
                found[f"unit {mark.stem} of {cache.name}"] = (told, chunks)
    return found


def trained(folder: Path) -> Found:
    """Epochs, weights, checkpoints and the result of a run."""
    found: Found = {}
    for run in (folder / "runs").glob("*"):
        if ".partial-" in run.name:
            continue
        for name in ("config.yaml", "README.md"):
            if (run / name).exists():
                # They say where the PLM lies, which is elsewhere in each copy of the scene.
                text = (run / name).read_text().replace(str(folder.resolve()), "")
                found[f"{run.name}/{name}"] = hashlib.sha256(text.encode()).hexdigest()
        if (run / "model.safetensors").exists():
            about, numbers = weights(run / "model.safetensors")
            found[f"{run.name}/model.safetensors"] = str(about).replace(str(folder.resolve()), ""), numbers
        for path in (path for path in (run / "checkpoints").glob("*.ckpt") if ".partial-" not in path.name):
            whole = zipfile.is_zipfile(path) and zipfile.ZipFile(path).testzip() is None
            found[f"{run.name}/{path.name}"] = "whole" if whole else "cut"
        if (run / "metrics.json").exists():
            result = json.loads((run / "metrics.json").read_text())
            found[f"{run.name}/metrics.json"] = [result[key] for key in ("best_epoch", "epochs", "validation")]
        if (run / "metrics.csv").exists():
            with (run / "metrics.csv").open() as file:
                for row in csv.DictReader(file):
                    kept = {name: value for name, value in row.items() if "second" not in name}
                    found[f"{run.name}, epoch {row['epoch']}"] = kept
    return found


def weights(path: Path) -> Any:
    """What a file of weights holds; safetensors writes the words about it in any order."""
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:header]), hashlib.sha256(content[header:]).hexdigest()


def evaluated(folder: Path) -> Found:
    """Metrics of a run, the files that were asked for, and the card that tells them."""
    found: Found = {}
    for path in (*folder.glob("runs/*/test_metrics.json"), folder / "m.json"):
        if path.exists():
            found[_name(path)] = {**json.loads(path.read_text()), "evaluated": None}
    for path in (*folder.glob("runs/*/README.md"), folder / "m.csv", folder / "users.parquet"):
        if path.exists():
            found[_name(path)] = digest(path)
    return found


def _name(path: Path) -> str:
    """A file of a run, or one that was asked for."""
    return f"{path.parent.name}/{path.name}" if path.parent.parent.name == "runs" else path.name


def recommended(folder: Path) -> Found:
    """The files that were asked for."""
    return {path.name: digest(path) for path in folder.glob("list.*") if ".partial-" not in path.name}


def _train(name: str, options: str, *before: str) -> Scene:
    again = "train --resume one", "runs/one/manifest.json"
    return Scene("train", name, f"{TRAIN} {options}", (TABLES, *before), trained, again)


ID_RUN = f"{TRAIN} --input-type id --max-epochs 1"
CACHE = "preinfer --plm bert --accelerator cpu --precision 32"
SCENES = (
    Scene("prepare", "anew", TABLES, (), prepared),
    Scene("prepare", "over another", f"{TABLES} --min-item-seq-len 6", (TABLES,), prepared),
    Scene("preinfer", "pooled", CACHE, (TABLES,), cached),
    Scene("preinfer", "all tokens", f"{CACHE} --keep-tokens", (TABLES,), cached),
    _train("ids", "--input-type id --max-epochs 3"),
    _train("ids, ended early", "--input-type id --max-epochs 9 --early-stop-patience 1 --lr 0.05"),
    _train("texts", "--plm bert --max-epochs 2", CACHE),
    Scene("train", "some more epochs", "train --resume one --max-epochs 3", (TABLES, ID_RUN), trained),
    Scene(
        "evaluate", "files", "evaluate --accelerator cpu --output m.json,m.csv --per-user users.parquet",
        (TABLES, ID_RUN), evaluated,
    ),
    *(
        Scene(
            "recommend", kind, f"recommend --accelerator cpu --output list.{kind}", (TABLES, ID_RUN), recommended,
        )
        for kind in ("parquet", "csv", "jsonl")
    ),
)  # fmt: skip
VERBS = tuple(dict.fromkeys(scene.verb for scene in SCENES))


def write_tables(folder: Path, n_items: int, n_users: int) -> None:
    """Write the tables of a shop."""
    draw = random.Random(0)
    items = (
        f"i{number},{SUBJECTS[number % 4]} number {number} {'again ' * (number % 9)}\n" for number in range(n_items)
    )
    (folder / "items.csv").write_text(f"item_id,text\n{''.join(items)}")
    clicks = (
        f"u{user},i{int(draw.random() ** 2 * n_items)},{1000 * step + user}\n"
        for user in range(n_users)
        for step in range(draw.randint(5, 15))
    )
    (folder / "clicks.csv").write_text(f"user_id,item_id,timestamp\n{''.join(clicks)}")


def write_plm(folder: Path) -> None:
    """Write a PLM of two blocks with random weights; in a process of its own."""
    import conftest
    import torch
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    torch.manual_seed(1)
    BertModel(BertConfig(**conftest.small_sizes("bert"))).save_pretrained(folder)
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=conftest.wordpiece(), **names)
    tokenizer.save_pretrained(folder)
