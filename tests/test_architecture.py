"""docs/architecture.md names every module of plmrs in its place, and no other."""

import re
from pathlib import Path

import pytest

import plmrs

PACKAGE = Path(plmrs.__file__).parent
PAGE = PACKAGE.parent / "docs" / "architecture.md"
A_FILE_EACH = {("config",), ("plm", "families")}
"""Folders of which the page says what their files are, without naming each."""


def sections() -> dict[str, str]:
    """What the tree on the page says of each folder; of the modules beside them under an empty name."""
    tree = PAGE.read_text(encoding="utf-8").partition("```\nplmrs/\n")[2].partition("```")[0]
    parts = re.split(r"^  (\w+)/(?= )", tree, flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    # The modules of the first level stand around the folder config/.
    return {**found, "": parts[0] + found["config"]}


def modules() -> list[Path]:
    found = (path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
    return sorted(path for path in found if path.parts[:-1] not in A_FILE_EACH)


def names(section: str) -> set[str]:
    """File names, of which `mind_*.py` stands for several."""
    return set(re.findall(r"[a-z_*]+\.(?:py|html)\b", section))


def is_named(path: Path, section: str) -> bool:
    if path.parts[:2] == ("data", "sources") and re.search(rf"\b{path.stem}\b", section):
        return True
    # A verb's door has the same name in each folder, which the page says once.
    return path.name == "command.py" or any(path.match(name) for name in names(section))


@pytest.mark.parametrize("path", modules(), ids=str)
def test_a_module_is_named_where_its_folder_is(path: Path) -> None:
    folder = path.parts[0] if len(path.parts) > 1 else ""
    assert is_named(path, sections()[folder]), f"docs/architecture.md does not name {path}"


@pytest.mark.parametrize("folder", sections())
def test_what_is_named_exists(folder: str) -> None:
    if folder != "config":
        missing = {name for name in names(sections()[folder]) if not list((PACKAGE / folder).rglob(name))}
        assert not missing, f"docs/architecture.md names {missing} in {folder or 'plmrs'}"
