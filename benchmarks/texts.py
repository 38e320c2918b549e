"""A data set of given texts with made-up users, for benchmarks in which only the texts matter."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PLMRS = [sys.executable, "-m", "plmrs"]


def prepare_texts(work: Path, name: str, texts: Sequence[str]) -> None:
    """Prepare the texts as data set `name` in the workspace WORK/data; tabs and line ends in them become spaces."""
    work.mkdir(parents=True, exist_ok=True)
    items, taken = work / "items.tsv", work / "taken.csv"
    lines = [f"{number}\t{' '.join(text.split())}\n" for number, text in enumerate(texts)]
    items.write_text("item_id\ttext\n" + "".join(lines), encoding="utf-8")
    clicks = [f"u{user},{(7 * user + step) % len(texts)}\n" for user in range(50) for step in range(6)]
    taken.write_text("user_id,item_id\n" + "".join(clicks))
    given = ["prepare", name, "--items", str(items), "--interactions", str(taken), "--root", str(work / "data")]
    subprocess.run([*PLMRS, *given], check=True, stdout=subprocess.DEVNULL)
