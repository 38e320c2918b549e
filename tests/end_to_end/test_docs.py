"""Every command of README.md and docs/ is one that plmrs understands; those in blocks run, on small data."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from plmrs.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
VERBS = ("prepare", "preinfer", "train", "evaluate", "recommend", "export", "inspect")

STANDS_FOR = {
    "METHOD": "ratio",
    "<name>": "name",
    "runs/<name>/config.yaml": "config.yaml",
    "…": "",
    "N00261": "N261",
    "N01697": "N169",
    "U00007": "U7",
    "U00012": "U12",
    "new.csv": "new.tsv",
}
"""Words of the docs that a person replaces by their own."""


def blocks(page: Path) -> list[str]:
    """The `plmrs` commands of a page's blocks, in order."""
    found = []
    for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        lines = (line.partition("  #")[0].strip() for line in block.replace("\\\n", " ").splitlines())
        found += [line for line in lines if line.startswith("plmrs ")]
    return found


def spans(page: Path) -> list[str]:
    """The commands that stand within sentences, as `plmrs inspect NAME --plot`."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    named = rf"`(plmrs (?:{'|'.join(VERBS)})(?: [^`]*)?)`"
    return [span.replace("\\|", "|") for span in re.findall(named, text)]


def words(command: str) -> list[str]:
    """A command's words behind `plmrs`."""
    return [STANDS_FOR.get(word, word) for word in shlex.split(command)[1:] if STANDS_FOR.get(word, word)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_understood(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    for verb in VERBS:

        def stand_in(*given: Any, verb: str = verb) -> list[Any]:
            asked.append(verb)
            return []

        monkeypatch.setattr(f"plmrs.{verb}.command.{verb}", stand_in)
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text("lr: 0.001\n")
    commands = blocks(page) + spans(page)
    for command in commands:
        assert main(words(command)) == 0, command
    assert asked == [words(command)[0] for command in commands if "--help" not in command]


def test_there_are_commands() -> None:
    assert len(blocks(ROOT / "README.md")) > 5
    assert len(spans(ROOT / "README.md")) > 3


def write_mind(folder: Path) -> None:
    """MIND's official layout: 300 news and 60 readers who walk through neighbouring ones."""
    folder.mkdir(parents=True)
    news = [
        f"N{i}\tsport\tsoccer\t{('river', 'garden', 'engine')[i % 3]} number {i // 3}\t\t\t[]\t[]" for i in range(300)
    ]
    rows = []
    for user in range(60):
        taken = [f"N{(7 * user + 3 * step) % 300}" for step in range(6 + user % 9)]
        *history, last = taken
        rows.append(f"{user + 1}\tU{user}\t11/{11 + user % 4}/2019 9:05:58 AM\t{' '.join(history)}\t{last}-1 N299-0")
    (folder / "news.tsv").write_text("\n".join(news) + "\n", encoding="utf-8")
    (folder / "behaviors.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def write_books(folder: Path) -> None:
    """The tables of README's second example."""
    items = [f"{i:03d}\t{('river', 'garden', 'engine')[i % 3]} number {i // 3}" for i in range(300)]
    (folder / "items.tsv").write_text("\n".join(["item_id\ttext", *items]) + "\n")
    new = [f"new-{i}\tthe river number {i}, once more" for i in range(5)]
    (folder / "new.tsv").write_text("\n".join(["item_id\ttext", *new]) + "\n")
    steps = [(user, step) for user in range(60) for step in range(6 + user % 9)]
    taken = [f"u{user}\t{(7 * user + 3 * step) % 300:03d}\t{step}" for user, step in steps]
    (folder / "interactions.tsv").write_text("\n".join(["user_id\titem_id\ttimestamp", *taken]) + "\n")


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_blocks_run(page: Path, tmp_path: Path, make_plm: Any) -> None:
    write_mind(tmp_path / "data" / "raw" / "MIND_small" / "MINDsmall_train")
    write_books(tmp_path)
    for name in ("opt-1.3b", "opt-13b", "opt-66b"):
        (tmp_path / "facebook").mkdir(exist_ok=True)
        make_plm("opt").rename(tmp_path / "facebook" / name)
    make_plm("bert").rename(tmp_path / "minilm")
    lines = [words(line) for line in blocks(page)]
    made = {line[0] for line in lines}
    first = [["prepare", "MIND_small"]] if "prepare" not in made else []
    first += [["train", "--plm", "minilm"]] if "train" not in made and made & {"evaluate", "recommend"} else []
    for line in [*first, *lines]:
        if line[0] == "train" and "--max-epochs" not in line:
            line += ["--max-epochs", "1"]
        if line[0] in ("preinfer", "train", "evaluate", "recommend") and "--accelerator" not in line:
            line += ["--accelerator", "cpu"]
        if line[0] == "preinfer" and "--plm" not in line:
            line += ["--plm", "facebook/opt-1.3b"]  # Instead of the default, which lies at the hub.
        if "--num-nodes" in line:
            continue  # It waits for the other machine.
        line = ["./minilm" if word == "minilm" else word for word in line]
        line = [f"./{word}" if word.startswith("facebook/") else word for word in line]
        done = subprocess.run(
            [Path(sys.executable).with_name("plmrs"), *line], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
