import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plmrs.cache import layout
from plmrs.data.dataset import Dataset
from plmrs.workspace import Workspace

WORDS = ("river", "council", "doctor", "teacher", "garden", "market", "singer", "engine", "planet", "bakery")


def words(n: int) -> list[str]:
    """n different texts of 1 to 12 words and a number, some of which are the same once they are cut."""
    return [" ".join(WORDS[(i * j + i // 7) % 10] for j in range(1, 2 + i % 12)) + f" {i}" for i in range(n)]


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory, make_dataset: Any) -> Dataset:
    """A data set of 200 items, of which the last four have the texts of the first ones."""
    root = tmp_path_factory.mktemp("few")
    made: Dataset = make_dataset(Workspace(root, root), "few", [*words(196), *words(4)])
    return made


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory, make_dataset: Any) -> Dataset:
    """A data set of 2,000 items: eight units of work or more."""
    root = tmp_path_factory.mktemp("many")
    made: Dataset = make_dataset(Workspace(root, root), "many", words(2000))
    return made


@pytest.fixture
def workspace_of(tmp_path: Path) -> Callable[..., Workspace]:
    """Gives workspaces with a copy of a data set and no cache: `workspace_of(few, "one")`."""

    def made(dataset: Dataset, name: str = "one") -> Workspace:
        found = Workspace(tmp_path / name / "data", tmp_path / name / "runs")
        shutil.copytree(dataset.folder, found.prepared(dataset.name))
        return found

    return made


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cuts the data set `few` into eight units, in this process."""
    monkeypatch.setattr(layout, "LEAST_TOKENS", 64)


@pytest.fixture(scope="session")
def opt(make_plm: Any) -> Path:
    """The folder of an OPT of four blocks, width 32."""
    made: Path = make_plm("opt", num_hidden_layers=4)
    return made


@pytest.fixture
def forked(forkserver: Any) -> Iterator[Callable[..., Any]]:
    """Starts functions in processes that have imported what takes long: `forked(function, argument)` gives one."""
    started: list[Any] = []

    def start(function: Callable[..., Any], *given: Any) -> Any:
        process = forkserver.Process(target=function, args=given)
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        if process.is_alive():
            process.kill()
            process.join()
