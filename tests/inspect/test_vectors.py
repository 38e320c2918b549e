"""What is told of a cache's vectors, compared with numbers worked out by hand, and the neighbours of an item."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from plmrs.cache.store import Cache
from plmrs.data.dataset import open_dataset
from plmrs.errors import UserError
from plmrs.inspect.vectors import effective_rank, item_of, mean_cosine
from plmrs.workspace import Workspace

Cached = Callable[[str], Cache]


def test_mean_cosine_against_all_pairs() -> None:
    rows = np.random.default_rng(0).normal(1.0, 1.0, (40, 7)).astype(np.float32)
    pairs = [float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in itertools.combinations(rows, 2)]
    assert mean_cosine(rows) == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)


def test_mean_cosine_of_rows_that_are_at_right_angles_or_one() -> None:
    assert mean_cosine(np.eye(5, dtype=np.float32)) == pytest.approx(0)
    assert mean_cosine(np.ones((5, 3), np.float32)) == pytest.approx(1)


def test_effective_rank_of_known_spreads() -> None:
    even = np.concatenate([np.eye(6), -np.eye(6)]).astype(np.float32)
    assert effective_rank(even) == pytest.approx(6)
    line = np.outer(np.arange(9), [1.0, 2.0, 3.0]).astype(np.float32)
    assert effective_rank(line) == pytest.approx(1)
    # Variances 4 and 1: shares .8 and .2.
    two = np.array([[2, 0], [-2, 0], [0, 1], [0, -1]], np.float32)
    assert effective_rank(two) == pytest.approx(math.exp(-0.8 * math.log(0.8) - 0.2 * math.log(0.2)))
    assert effective_rank(np.ones((4, 3), np.float32)) == 0


def test_effective_rank_is_the_same_of_wide_and_of_long_rows() -> None:
    rows = np.random.default_rng(1).normal(size=(20, 6)).astype(np.float32)
    wide = np.concatenate([rows, np.zeros((20, 50), np.float32)], axis=1)
    assert effective_rank(wide) == pytest.approx(effective_rank(rows))


def test_a_cache_tells_of_each_pooling(cached: Cached, look: Any) -> None:
    cache = cached("final")
    table = look(cache.path)[1]
    assert table.title == "Vectors"
    assert [row[0] for row in table.rows] == ["mean", "last", "cls"]
    vectors = cache.read("last").astype(np.float64)
    norms = np.linalg.norm(vectors, axis=1)
    told = table.rows[1]
    assert told[1] == pytest.approx(mean_cosine(vectors.astype(np.float32)))
    assert told[3:] == pytest.approx([norms.mean(), norms.std(), norms.min(), norms.max()])


def test_a_cache_of_tokens_has_no_vectors(cached: Cached, look: Any) -> None:
    cache = cached("hidden")
    assert len(look(cache.path)) == 1
    with pytest.raises(UserError, match="holds states of tokens, no vector an item"):
        look(cache.path, neighbours="x")


def test_a_damaged_cache_still_tells_what_it_is(cached: Cached, look: Any) -> None:
    cache = cached("final")
    chunk = next(path for path in sorted((cache.path / "mean").rglob("*")) if path.is_file() and path.name == "0")
    chunk.write_bytes(chunk.read_bytes()[:-9] + b"\0" * 9)
    (table,) = look(cache.path)
    assert "Vectors are not told" in table.notes[-1]


def test_the_nearest_items(cached: Cached, look: Any, workspace: Workspace) -> None:
    cache = cached("both")
    dataset = open_dataset(workspace, "small")
    ids, texts = dataset.item_ids(), dataset.texts()
    tables = look(cache.path, neighbours=ids[5])
    near = {table.title.rpartition("(")[2].rstrip(")"): table for table in tables if table.title.startswith("Nearest")}
    assert list(near) == ["mean", "last", "cls"]
    vectors = cache.read("mean").astype(np.float64)
    own = vectors[5]
    cosines = [float(own @ row / np.linalg.norm(own) / np.linalg.norm(row)) for row in vectors]
    others = sorted((row for row in range(len(ids)) if row != 5), key=lambda row: -cosines[row])[:10]
    assert [row[1] for row in near["mean"].rows] == pytest.approx([cosines[row] for row in others], abs=1e-5)
    assert near["mean"].rows[0][2] == ids[others[0]]
    assert texts[others[0]].startswith(str(near["mean"].rows[0][3]).rstrip("…"))


def test_an_item_by_id_or_by_a_piece_of_its_text(write: Any) -> None:
    histories = {"ann": [(1, 1), (2, 2), (3, 3), (4, 4)]}
    dataset = write(histories, 4, ["Der Fluss", "The river runs", "A river", "i2 in a text"])
    assert item_of(dataset, "i2") == 2  # an id goes before a text
    assert item_of(dataset, "fluss") == 1
    assert item_of(dataset, "a RIVER") == 3
    with pytest.raises(UserError, match=r"2 items have 'river' in their text") as error:
        item_of(dataset, "river")
    assert error.value.remedy == "i2 'The river runs'; i3 'A river'."
    with pytest.raises(UserError, match="no item of hand has the id 'lake'"):
        item_of(dataset, "lake")


@pytest.mark.parametrize("what", ["small"])
def test_neighbours_are_of_caches(what: str, cached: Cached, look: Any) -> None:
    cached("final")
    with pytest.raises(UserError, match="--neighbours is for caches; small is a data set"):
        look(what, neighbours="x")
