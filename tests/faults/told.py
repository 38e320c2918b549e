"""What commands say, and how a test has them said it."""

from collections.abc import Callable
from pathlib import Path

Run = Callable[[str], tuple[int, str]]
"""Runs a command line of plmrs: its exit code, and what it says."""
Disk = Callable[[int], Path]
"""Mounts a disk of so many bytes."""


def told_in_one_line(said: str) -> str:
    """The line that tells an error, where there is one and no more than a remedy behind it."""
    lines = said.strip().splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith("Error: ")]
    assert len(errors) == 1, said
    assert len(lines) - errors[0] <= 2, said
    assert "Traceback" not in said
    return "\n".join(lines[errors[0] :])
