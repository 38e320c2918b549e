"""`--plot`: which files it writes, and that they are pictures of a sensible size."""

import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plmrs.config import InspectConfig
from plmrs.data.dataset import Dataset
from plmrs.inspect.command import inspect
from plmrs.report import Silent
from plmrs.workspace import Workspace

Write = Callable[..., Dataset]

DATES = "seconds since 1970-01-01 UTC"


def some(latest: int) -> Mapping[str, Any]:
    random = np.random.default_rng(2)
    histories = {}
    for user, n in enumerate(3 + random.geometric(0.1, size=200)):
        items, times = random.integers(1, 50, n).tolist(), np.sort(random.integers(0, latest, n)).tolist()
        histories[f"u{user}"] = list(zip(items, times, strict=True))
    return histories


def draw(workspace: Workspace) -> dict[str, tuple[int, int]]:
    """Width and height of each picture that inspect names, after a look at all that lies in the folder."""
    config = InspectConfig.from_flat({"root": workspace.root, "runs": workspace.runs, "plot": True})
    notes = inspect(["hand"], config, Silent())[0].notes
    named = [Path(note.removeprefix("Drawn: ")) for note in notes if note.startswith("Drawn: ")]
    assert sorted((workspace.prepared("hand") / "plots").iterdir()) == sorted(named)
    sizes = {}
    for path in named:
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        assert content.endswith(b"IEND\xaeB`\x82")
        sizes[path.name] = struct.unpack(">II", content[16:24])
    return sizes


def test_pictures_of_everything_and_again(write: Write, workspace: Workspace, add_tokens: Callable[..., None]) -> None:
    dataset = write(some(3_000_000), 60, time_unit=DATES)
    add_tokens(dataset, "opt", [3 + item % 11 for item in range(60)], 8)
    add_tokens(dataset, "bert", [3 + item % 7 for item in range(60)], 12)
    names = ["history_lengths.png", "popularity.png", "times.png", "token_lengths.png"]
    for _ in range(2):
        assert draw(workspace) == dict.fromkeys(names, (1600, 900))


def test_without_times_and_tokens_there_are_two(write: Write, workspace: Workspace) -> None:
    write(some(100), 60, has_times=False)
    assert list(draw(workspace)) == ["history_lengths.png", "popularity.png"]


@pytest.mark.parametrize("years", [0, 1, 30, 300])
def test_any_span_of_time(years: int, write: Write, workspace: Workspace) -> None:
    write(some(max(1, years * 31_557_600)), 60, time_unit=DATES)
    assert "times.png" in draw(workspace)


def test_times_that_are_no_dates_and_users_who_all_took_one_item(write: Write, workspace: Workspace) -> None:
    write({user: [(1, 7)] * 4 for user in "abc"}, 1, time_unit="$when$ {, as in the file")
    assert len(draw(workspace)) == 3


def test_matplotlib_is_loaded_to_draw_only_and_pyplot_never(write: Write, workspace: Workspace) -> None:
    write(some(100), 60)
    code = (
        "import sys; from plmrs.cli import main\n"
        f"arguments = ['inspect', 'hand', '--root', {str(workspace.root)!r}]\n"
        "main(arguments); assert 'matplotlib' not in sys.modules\n"
        "main([*arguments, '--plot']); assert 'matplotlib.figure' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
