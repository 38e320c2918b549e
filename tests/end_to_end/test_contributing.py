"""The worked examples of docs/contributing are the code that is there, and their commands print what they say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "contributing").glob("*.md"))


def blocks(page: Path, kind: str) -> list[tuple[str, str]]:
    """The blocks of a kind: what stands behind the kind, as a rule a file, and what is in the block."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}(?: (\S+))?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def shown(page: Path) -> list[tuple[str, str]]:
    """Each run of lines that a page says are in a file: its Python, and what its changes leave there."""
    found = blocks(page, "python")
    for file, changes in blocks(page, "diff"):
        for change in re.split(r"^@@\n", changes, flags=re.MULTILINE):
            kept = [line[1:] for line in change.splitlines(keepends=True) if not line.startswith("-")]
            found.append((file, "".join(kept)))
    return found


def differences(page: Path) -> list[str]:
    """The files that do not have the lines that a page shows of them."""
    return [file for file, lines in shown(page) if lines not in (ROOT / file).read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_is_shown_is_in_the_files(page: Path) -> None:
    assert differences(page) == []
    whole = [file for file, lines in shown(page) if lines == (ROOT / file).read_text(encoding="utf-8")]
    assert any(file.startswith("plmrs/") for file in whole)  # The new module, in full.


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    named = re.findall(r"\b(?:plmrs|tests|docs)/[\w/]+\.(?:py|md)\b", page.read_text(encoding="utf-8"))
    assert len(named) > 5
    assert [file for file in named if not (ROOT / file).is_file()] == []


def test_a_stale_page_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python plmrs/errors.py\nclass Other:\n```\n\n```diff plmrs/cli.py\n+no such line\n```\n")
    assert differences(page) == ["plmrs/errors.py", "plmrs/cli.py"]


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "console")], ids=lambda page: page.stem)
def test_commands_print_what_is_shown(page: Path, tmp_path: Path) -> None:
    places = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200"}
    for _, block in blocks(page, "console"):
        for command, wanted in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=tmp_path,
                env=os.environ | places,
                capture_output=True,
                text=True,
                check=False,
            )
            printed = done.stdout + done.stderr
            assert done.returncode == (2 if wanted.startswith("Error: ") else 0), printed
            for line in wanted.splitlines():
                assert line in printed.splitlines(), f"{command}\n{printed}"
