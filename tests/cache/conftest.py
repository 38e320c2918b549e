"""Caches of random states: 600 items of some 580 distinct texts, width 16, in four units."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from plmrs.cache.create import cache_path, create_cache, new_manifest
from plmrs.cache.store import Cache
from plmrs.cache.texts import Texts, text_table
from plmrs.data.dataset import Dataset
from plmrs.data.tokens import Tokens
from plmrs.plm.checkpoint import Plm
from plmrs.workspace import Workspace

N, H, BLOCKS = 600, 16, 4


MakeTokens = Callable[[Sequence[Sequence[int]]], Tokens]


@pytest.fixture(scope="session")
def ragged() -> MakeTokens:
    """Tokens of texts that are given as lists."""

    def make(rows: Sequence[Sequence[int]]) -> Tokens:
        length = np.array([len(row) for row in rows], np.int32)
        ids = np.array([token for row in rows for token in row], np.int32)
        return Tokens(ids, np.cumsum(length, dtype=np.int64) - length, length, length)

    return make


@pytest.fixture(scope="session")
def tokens(ragged: MakeTokens) -> Tokens:
    """600 texts of 5 to 40 tokens, of which every 30th is the same as one before."""
    random = np.random.default_rng(0)
    rows = [random.integers(0, 50, random.integers(5, 41)).tolist() for _ in range(N)]
    for i in range(29, N, 30):
        rows[i] = rows[i // 2]
    return ragged(rows)


@dataclass
class Made:
    """A cache and what it was made of.

    Attributes:
        cache: Complete unless some units were left out.
        pooled: An array a pooling. [texts, H] float32
        hidden: A list of the states of each text. [tokens, H] float32
    """

    cache: Cache
    pooled: dict[str, NDArray[np.float32]]
    hidden: list[NDArray[np.float32]]

    def write(self, units: Iterable[int]) -> None:
        for unit in units:
            first, stop = self.cache.layout.bounds[unit : unit + 2]
            pooled = {name: values[first:stop] for name, values in self.pooled.items() if name in self.cache.poolings}
            hidden = np.concatenate(self.hidden[first:stop]) if "hidden" in self.cache.arrays else None
            self.cache.write_unit(unit, pooled, hidden)


MakeCache = Callable[..., Made]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "data", tmp_path / "runs")


@pytest.fixture
def plm(tmp_path: Path) -> Plm:
    folder = tmp_path / "plm"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    return Plm("someone/tiny", folder, "hub:someone/tiny@1", "mit", "bert", H, BLOCKS, 64, ())


@pytest.fixture(scope="session")
def texts(tokens: Tokens) -> Texts:
    return text_table(tokens)


@pytest.fixture
def make_cache(workspace: Workspace, small_dataset: Dataset, plm: Plm, texts: Texts) -> MakeCache:
    """`make_cache(units=[0], seed=1, plm={…}, dtype="bfloat16", …)`: what is named last goes to `new_manifest`."""

    def make(
        units: Iterable[int] | None = None,
        seed: int = 0,
        plm_differs: dict[str, Any] | None = None,
        length: int = 40,
        precision: str = "32",
        **options: Any,
    ) -> Made:
        random = np.random.default_rng(seed)
        pooled = {name: random.normal(size=(len(texts), H)).astype(np.float32) for name in ("mean", "last", "cls")}
        hidden = [random.normal(size=(n, H)).astype(np.float32) for n in texts.length.tolist()]
        its_plm = replace(plm, **(plm_differs or {}))
        manifest = new_manifest(small_dataset, its_plm, texts, length, precision, **options)
        cache = create_cache(cache_path(workspace, its_plm, manifest), manifest, texts)
        made = Made(cache, pooled, hidden)
        made.write(range(cache.n_units) if units is None else units)
        return made

    return make
