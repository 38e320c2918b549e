"""The executable before it has read its command line."""

import os
import subprocess
import sys

import pytest

INTERRUPTED = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
from plmrs.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize("module", ["plmrs.cli", "typer", "rich.console"])
def test_an_interrupt_while_modules_are_imported_is_one_line(module: str):
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(module=module), "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Error: Interrupted.\n")


def test_python_runs_it_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "plmrs", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert done.stdout.startswith("plmrs ")
