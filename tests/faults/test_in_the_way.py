"""Files where folders should be, folders where files should be, and files that may not grow."""

import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from scenes import ID_RUN, TABLES
from told import Run, told_in_one_line


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (f"{TABLES} --root items.csv", "items.csv"),
        (f"{ID_RUN} --name three --runs items.csv", "items.csv"),
        ("recommend one --output items.csv/list.csv", "items.csv"),
        ("evaluate one --output folder.json", "folder.json"),
        (f"{TABLES} --name {'x' * 99} --root {'y' * 300}", "yyyyyy"),
    ],
)
def test_what_is_in_the_way_is_named(place: Path, run: Run, line: str, named: str) -> None:
    (place / "folder.json").mkdir()
    code, said = run(line)
    assert code == 2, said
    assert named in told_in_one_line(said)
    assert not list(place.rglob("*partial*"))


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may have more than 2,000 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_files_that_may_not_grow(place: Path, request: pytest.FixtureRequest, run: Run) -> None:
    before = sorted(place.rglob("*"))
    request.getfixturevalue("small_files")
    for line in (f"{TABLES} --name other", f"{ID_RUN} --name three", "recommend one --output list.csv", "evaluate one"):
        code, said = run(line)
        assert code == 2, (line, said)
        assert any(word in told_in_one_line(said) for word in ("larger than is allowed", "disk is full")), line
    known = [path for path in sorted(place.rglob("*")) if "three" not in path.parts]
    assert [path for path in known if path.suffix != ".lock"] == [path for path in before if path.suffix != ".lock"]
    assert not (place / "runs" / "three" / "metrics.json").exists()
