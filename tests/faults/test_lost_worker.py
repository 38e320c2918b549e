"""A worker that is lost while two devices share an evaluation: told in a line, and the next run finishes.

`preinfer` goes on without it, as tests/preinfer/test_workers.py has it.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from scenes import evaluated
from told import told_in_one_line

pytestmark = pytest.mark.slow


def start(line: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "import sys; from plmrs.cli import main; sys.exit(main())", *line.split()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=-1, stderr=subprocess.STDOUT, text=True)


def lose_one(process: subprocess.Popen[str]) -> str:
    """Kill a worker as soon as there are two; what the command says then."""
    limit = time.monotonic() + 200
    workers: list[psutil.Process] = []
    while len(workers) < 2 and process.poll() is None and time.monotonic() < limit:
        children = psutil.Process(process.pid).children()
        workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        time.sleep(0.02)
    assert len(workers) == 2
    workers[1].kill()
    said, _ = process.communicate(timeout=200)
    return said


def test_a_lost_worker(place: Path) -> None:
    line = "evaluate one --accelerator cpu --devices 0 1 --output m.json"
    before = evaluated(place)
    process = start(line, place)
    told = told_in_one_line(lose_one(process))
    assert process.returncode == 2
    assert "failed: it was killed" in told
    assert evaluated(place) == before
    process = start(line, place)
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert json.loads((place / "m.json").read_text())["groups"] == before["one/test_metrics.json"]["groups"]
