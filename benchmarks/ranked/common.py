"""What the measured programs share: the users, and how they hand back their time. Needs NumPy alone."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LENGTH, WIDTH, BLOCKS, HEADS, BEST, BATCH = 50, 64, 2, 2, 20, 256


def read() -> tuple[int, NDArray[np.int64], Path, int]:
    """Items there are, what each user took (numbered from 1) [users, LENGTH], where the result goes, and repeats."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--repeat", type=int, required=True)
    options = parser.parse_args()
    data = np.load(options.data)
    return int(data["n_items"]), data["histories"], options.result, options.repeat


def measure(ways: dict[str, Callable[[], object]], users: int, repeat: int, result: Path) -> None:
    """Let each way rank all users some times, in turn and once to warm up; leave users a second of each time."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeat + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if turn:
                found[name].append(users / (time.perf_counter() - start))
    result.write_text(json.dumps(found))
