"""The five verbs killed at random moments; `python tests/faults/kills.py` does it as often as one likes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def kill(*options: str) -> str:
    """Run the script; what it prints."""
    command = [sys.executable, str(Path(__file__).with_name("kills.py")), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@forking
@pytest.mark.timeout(900)
def test_two_kills_a_verb() -> None:
    assert "10 kills in" in kill("--kills", "10", "--seed", "3", "--size", "0.05")


@forking
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_forty_kills_a_verb() -> None:
    assert "200 kills in" in kill("--kills", "200", "--seed", "1", "--size", "0.3")
