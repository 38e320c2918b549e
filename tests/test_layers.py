"""The order of the modules: each imports from below, the base loads nothing heavy, only the console prints."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import plmrs

PACKAGE = Path(plmrs.__file__).parent
BASE = [
    "printable",
    "errors",
    "report",
    "section",
    "workspace",
    "links",
    "plain_yaml",
    "config",
    "origins",
    "devices",
    "canvas",
]
NOUNS = ["data", "plm", "cache", "model"]
VERBS = ["prepare", "preinfer", "train", "evaluate", "recommend", "export", "inspect"]
DOOR = ["tables", "console", "options", "cli", "__main__"]
LAYERS = [*BASE, "processes", *NOUNS, *VERBS, *DOOR]
HEAVY = {"torch", "transformers", "pytorch_lightning", "deepspeed", "zarr", "pandas", "pyarrow", "numpy", "scipy"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """The dotted names a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports name the whole path"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_from_below_or_beside_it(path: Path) -> None:
    own = layer(path)
    if own == "__init__":
        return
    assert own in LAYERS, f"give {own} its place in LAYERS"
    for name in imported(path):
        root, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        if root == "plmrs" and other in LAYERS:
            assert other == own or LAYERS.index(other) < LAYERS.index(own), f"{own} must not import {name}"


def test_a_breach_would_be_seen(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("import plmrs.cli\ndef f():\n    from plmrs.train.command import train\n")
    assert list(imported(module)) == ["plmrs.cli", "plmrs.train.command.train"]


def test_every_layer_exists() -> None:
    assert {layer(path) for path in modules()} - {"__init__"} >= set(LAYERS)


def test_the_base_and_the_door_load_nothing_heavy() -> None:
    names = ", ".join(f"plmrs.{name}" for name in [*BASE, *DOOR])
    code = f"import sys, {names}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not (HEAVY | {"rich", "yaml"}) & set(loaded)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_console_speaks(path: Path) -> None:
    roots = {name.partition(".")[0] for name in imported(path)}
    if layer(path) not in {"tables", "console"}:
        assert "rich" not in roots
    if layer(path) not in {"options", "cli"}:
        assert "typer" not in roots
    calls = [node.func for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id == "print"]
