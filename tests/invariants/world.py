"""A workspace in which everything was made once, and what a command line makes of it."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from plmrs.cli import main

PREPARE = ["prepare", "books", "--items", "items.csv", "--interactions", "taken.csv"]
PREINFER = ["preinfer", "--dataset", "books", "--plm", "plm", "--accelerator", "cpu", "--precision", "32"]
SIZES = ["--sasrec-hidden-size", "8", "--sasrec-inner-size", "8", "--sasrec-n-layers", "1", "--sasrec-seq-len", "4"]
TRAIN = ["train", "--dataset", "books", "--accelerator", "cpu", "--max-epochs", "1", "--batch-size", "16", *SIZES]
RUNS = {
    "id": ["--input-type", "id"],
    "pooled": ["--plm", "plm", "--whitening", "4"],
    "states": ["--plm", "plm", "--plm-last-n-unfreeze", "1", "--whitening", "none"],
    "tokens": ["--plm", "plm", "--plm-last-n-unfreeze", "-1", "--whitening", "none"],
}
"""A run of each kind: without a PLM, on pooled vectors, on cached states of its first block, on token ids."""


@dataclass(frozen=True)
class Told:
    """What a command came to."""

    code: int
    out: str
    err: str


class World:
    """The workspace `data` and `runs` below the current folder; paths are relative, as most users give them."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capture = folder, capture

    def run(self, *words: str) -> Told:
        """Run a command line in this process."""
        self._capture.readouterr()
        code = main([str(word) for word in words])
        return Told(code, *self._capture.readouterr())

    def well(self, *words: str) -> str:
        """Run a command line that must end well; what it said."""
        told = self.run(*words)
        assert told.code == 0, told.err
        return told.out

    def prints(self) -> tuple[str, str]:
        """The fingerprints of the prepared data set, and of its items and texts."""
        manifest = self.json("data/prepared/books/manifest.json")
        return manifest["fingerprint"], manifest["texts_fingerprint"]

    def caches(self) -> set[str]:
        """The names of the caches."""
        return {path.name for path in (self.folder / "data/cache").glob("*/*/*.zarr")}

    def cache_of(self, run: str) -> Path:
        """Where the cache of a run lies."""
        return self.folder / self.json(f"runs/{run}/manifest.json")["cache"]["path"]

    def json(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / path).read_text())
        return found

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace the first `old` in a text file."""
        file = self.folder / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))


def write_tables(folder: Path) -> None:
    """Twenty items, the last two of which nobody took, and thirty users; each column has a second one beside it."""
    items = [f"i{n},j{n},title {n},blurb {n % 7},{'ab'[n % 2]},{'xyz'[n % 3]}" for n in range(20)]
    rows = [
        f"u{user},v{user // 2},i{(user + 5 * step) % 18},{100 + step},{200 - step}"
        for user in range(30)
        for step in range(5 + user % 4)
    ]
    (folder / "items.csv").write_text("\n".join(["item_id,sku,title,blurb,category,kind", *items]) + "\n")
    (folder / "taken.csv").write_text("\n".join(["user_id,who,item_id,time,seen", *rows]) + "\n")
    (folder / "new.csv").write_text("item_id,title\nn1,a new title\n")


def make_world(world: World, plm: Path) -> None:
    """Prepare, cache and train, a run of each kind."""
    write_tables(world.folder)
    shutil.copytree(plm, world.folder / "plm")
    world.well(*PREPARE)
    world.well(*PREINFER)
    world.well(*PREINFER, "--plm-last-n-unfreeze", "1")
    for name, options in RUNS.items():
        world.well(*TRAIN, *options, "--name", name)
