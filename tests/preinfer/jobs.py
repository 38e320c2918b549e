"""Runs of `preinfer` on tiny PLMs, and what they leave."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plmrs.cache.store import Cache, open_cache
from plmrs.config import PreinferConfig
from plmrs.preinfer import nodes
from plmrs.preinfer.command import preinfer
from plmrs.report import Advance, Silent, Table
from plmrs.workspace import Workspace


class Listening:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tracked: list[tuple[str, int, int]] = []
        self.advanced = 0
        self.moves: list[int] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def warn(self, line: str) -> None:
        self.lines.append(f"! {line}")

    @contextmanager
    def track(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        self.tracked.append((label, total, done))
        self.advanced = done

        def advance(n: int = 1, note: str = "") -> None:
            self.advanced += n
            self.moves.append(n)

        yield advance


def settings(workspace: Workspace, plm: Path | str, **options: Any) -> dict[str, Any]:
    """The options of a run on the CPU in fp32, unless they say otherwise."""
    basic = {"root": workspace.root, "runs": workspace.runs, "accelerator": "cpu", "precision": "32"}
    return {**basic, "plm_name": str(plm), **options}


def run(workspace: Workspace, plm: Path | str, progress: Any = None, **options: Any) -> Table:
    """Run `preinfer`; what it shows."""
    config = PreinferConfig.from_flat(settings(workspace, plm, **options))
    (table,) = preinfer(config, Listening() if progress is None else progress)
    return table


def encode(workspace: Workspace, plm: Path | str, progress: Any = None, **options: Any) -> Cache:
    """Run `preinfer`; the cache it names."""
    told = run(workspace, plm, progress, **options).notes[0]
    return open_cache(Path(told.removeprefix("It lies at ").removesuffix(".")))


def work(given: dict[str, Any]) -> None:
    """Run `preinfer` in a process of its own, which looks often at what other machines have done."""
    nodes.SECONDS = 0.05
    preinfer(PreinferConfig.from_flat(given), Silent())


def caches(workspace: Workspace) -> list[str]:
    """The boundaries of the caches of a workspace, and anything else that lies beside them, but for locks."""
    found = (path.name for path in (workspace.root / "cache").glob("*/*/*") if not path.name.endswith(".lock"))
    return sorted(name.partition("-")[0] if name.endswith(".zarr") else name for name in found)


def chunks(cache: Cache) -> dict[str, bytes]:
    """What a cache holds, by file, but for its done-marks."""
    return {
        str(file.relative_to(cache.path)): file.read_bytes() for file in cache.path.glob("*/c/**/*") if file.is_file()
    }
