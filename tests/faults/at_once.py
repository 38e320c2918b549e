"""Two commands at the same time in one workspace; what each of them said, as JSON.

    python tests/faults/at_once.py SHOP FOLDER

SHOP is a folder with everything in it, of which each pair of commands gets a copy below FOLDER.
"""

import json
import shutil
import sys
from pathlib import Path

import forks
from scenes import SMALL, TABLES

SHORT = f"train --windows last --accelerator cpu --max-epochs 1 --input-type id {SMALL}"
TEXTS = f"train --windows last --accelerator cpu --max-epochs 1 --plm bert {SMALL}"
PAIRS = {
    "prepare the same": (TABLES, f"{TABLES} --min-item-seq-len 6"),
    "preinfer the same": ("preinfer --plm bert --keep-tokens", "preinfer --plm bert --keep-tokens"),
    "train new runs": (SHORT, SHORT),
    "train new runs of one name": (f"{SHORT} --name mine", f"{SHORT} --name mine"),
    "train without a cache": (f"{TEXTS} --tokenized-len 12", f"{TEXTS} --tokenized-len 12"),
    "resume the same": ("train --resume one --max-epochs 3", "train --resume one --max-epochs 3"),
    "train and evaluate": ("train --resume one --max-epochs 3", "evaluate one"),
    "evaluate the same": ("evaluate one --output m.json", "evaluate one --output m.json"),
    "recommend the same": ("recommend one --output list.csv", "recommend one --output list.csv"),
    "prepare and train": (f"{TABLES} --min-item-seq-len 6", SHORT),
}


def main(shop: Path, folder: Path) -> None:
    """Run the pairs."""
    forks.warm()
    told = {}
    for name, lines in PAIRS.items():
        place = folder / name.replace(" ", "-")
        shutil.copytree(shop, place)
        both = [forks.plmrs(line, place, folder / f"{n}.txt") for n, line in enumerate(lines)]
        told[name] = [(command.wait(), command.said) for command in both]
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
