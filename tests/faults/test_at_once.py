"""Two commands on one workspace at the same time: both end soundly, or one is told in a line what the other does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from at_once import PAIRS
from scenes import cached, evaluated, prepared, trained
from told import Run, told_in_one_line

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
Said = dict[str, list[tuple[int, str]]]
BUSY = {
    "prepare the same": "is preparing shop",
    "preinfer the same": "is encoding shop with",
    "train new runs of one name": "There is a run mine already",
    "train without a cache": "is encoding shop with",
    "resume the same": "is training run one",
    "prepare and train": "was prepared anew",
}
"""What the second one may be told."""


@pytest.fixture(scope="module")
def both(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Said]:
    """The folder with the pairs' workspaces, and what the commands said."""
    folder = tmp_path_factory.mktemp("at-once")
    command = [sys.executable, str(Path(__file__).with_name("at_once.py")), str(shop), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


@pytest.mark.parametrize("name", PAIRS)
def test_two_at_once(name: str, both: tuple[Path, Said], shop: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, said = both
    codes = [code for code, _ in said[name]]
    assert 0 in codes, said[name]
    for code, words in said[name]:
        assert "Traceback" not in words
        if code:
            assert code == 2
            assert BUSY[name] in told_in_one_line(words)
    place = folder / name.replace(" ", "-")
    monkeypatch.chdir(place)
    assert not list(place.rglob("*partial*"))
    if name == "train new runs":
        assert codes == [0, 0]
        runs = trained(place)
        assert {f"shop-id{n}/metrics.json" for n in ("", "-2")} <= runs.keys()
        assert runs["shop-id/metrics.json"] == runs["shop-id-2/metrics.json"]
    if name == "evaluate the same":
        assert {**evaluated(place), "README.md": ""} == {
            **evaluated(shop),
            "m.json": evaluated(place)["m.json"],
            "README.md": "",
        }
    assert len(prepared(place)) == 1
    for line in ("inspect", *(line for line in PAIRS[name] if "--name mine" not in line)):
        code, words = run(line)
        assert code == 0, (line, words)
    units = {name: unit for name, unit in cached(shop).items() if name.startswith("unit")}
    assert {name: unit for name, unit in cached(place).items() if name in units} == units
