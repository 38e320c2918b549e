"""The pooled vectors of a cache: how spread they are, and which items are near to one.

Vectors of a PLM often point nearly all the same way: a mean cosine near 1 says so, and an effective rank far below the
width says that they use few directions. Whitening mends both.
"""

import numpy as np
from numpy.typing import NDArray

from plmrs.cache.dtypes import to_float32
from plmrs.cache.store import Cache
from plmrs.data.dataset import Dataset, open_dataset
from plmrs.errors import UserError
from plmrs.report import Cell, Table
from plmrs.workspace import Workspace

SAMPLE = 20_000
"""Items at most that statistics are computed on."""
SEED = 0
NEAREST = 10
LISTED = 5
"""Items named where a piece of text is in several."""
LONGEST_TEXT = 48


def mean_cosine(vectors: NDArray[np.float32]) -> float:
    """The mean cosine of all pairs of different rows: (‖Σ u‖² - n) / (n (n - 1)), where u are the rows of length 1.

    Args:
        vectors: Rows, at least two. [n, H]
    """
    n = len(vectors)
    total = unit_rows(vectors).sum(axis=0, dtype=np.float64)
    return float((total @ total - n) / (n * (n - 1)))


def effective_rank(vectors: NDArray[np.float32]) -> float:
    """How many directions rows spread in: exp(-Σ p log p), p the eigenvalues of their covariance over their sum.

    It is 1 where all lie on a line, and the width where they spread evenly (after Roy and Vetterli, "The effective
    rank", EUSIPCO 2007).

    Args:
        vectors: Rows. [n, H]
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    product = centred.T @ centred if len(centred) >= centred.shape[1] else centred @ centred.T
    eigenvalues = np.linalg.eigvalsh(product).clip(min=0)
    if not eigenvalues.sum():
        return 0.0
    shares = eigenvalues / eigenvalues.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows scaled to length 1; a zero row stays zero. [n, H] -> [n, H]"""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return unit


def vector_tables(cache: Cache) -> list[Table]:
    """Mean cosine, effective rank and norms of each pooling, on a sample of items; nothing of a cache without poolings.

    Raises:
        UserError: a unit is damaged.
    """
    if not cache.poolings or not cache.is_complete or cache.n_items < 2:
        return []
    items = np.arange(1, cache.n_items + 1)
    if len(items) > SAMPLE:
        items = np.sort(np.random.default_rng(SEED).choice(items, SAMPLE, replace=False))
    rows: list[list[Cell]] = []
    for pooling in cache.poolings:
        vectors = to_float32(cache.gather(items, pooling))
        norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
        spread = [norms.mean(), norms.std(), norms.min(), norms.max()]
        rows.append([pooling, mean_cosine(vectors), effective_rank(vectors), *(float(norm) for norm in spread)])
    columns = ["pooling", "mean cosine", "effective rank", "norm: mean", "sd", "min", "max"]
    notes = [
        f"Of {len(items):,} items{' drawn by chance' if len(items) < cache.n_items else ''}; cosine of all pairs.",
        f"Effective rank: directions of {cache.hidden_size} that are used (Roy and Vetterli, 2007).",
    ]
    return [Table("Vectors", columns, rows, notes)]


def neighbour_tables(cache: Cache, wanted: str, workspace: Workspace, whole: bool = False) -> list[Table]:
    """The items whose vectors have the largest cosine to an item's, a table a pooling.

    Args:
        cache: A complete cache with pooled vectors.
        wanted: An item's id, or a piece of a text that no other item has.
        workspace: Where its data set lies.
        whole: Cut no text.

    Raises:
        UserError: no item or several are meant, the data set is another by now, or the cache has no vector an item.
    """
    if not cache.poolings:
        raise UserError(
            f"--neighbours: the cache {cache.place} holds states of tokens, no vector an item.",
            "Name a cache at the final boundary.",
        )
    dataset = open_dataset(workspace, cache.dataset)
    if dataset.texts_fingerprint != cache.manifest["texts_fingerprint"]:
        raise UserError(f"Data set {dataset.name} has other items than the cache {cache.place} was made of.")
    item = item_of(dataset, wanted)
    return [_neighbours(cache, dataset, item, pooling, whole) for pooling in cache.poolings]


def item_of(dataset: Dataset, wanted: str) -> int:
    """The number of the item with this id, or of the only one whose text has this piece; capitals do not matter there.

    Raises:
        UserError: there is none, or several have it.
    """
    ids = dataset.item_ids()
    if wanted in ids:
        return ids.index(wanted) + 1
    texts = dataset.texts()
    found = [row for row, text in enumerate(texts) if wanted.lower() in text.lower()]
    exact = [row for row in found if texts[row].lower() == wanted.lower()]
    found = exact if len(exact) == 1 else found
    if not found:
        raise UserError(f"--neighbours: no item of {dataset.name} has the id {wanted!r}, nor that in its text.")
    if len(found) > 1:
        shown = "; ".join(f"{ids[row]} {cut(texts[row])!r}" for row in found[:LISTED])
        more = f"; and {len(found) - LISTED:,} more" if len(found) > LISTED else ""
        raise UserError(f"--neighbours: {len(found):,} items have {wanted!r} in their text.", f"{shown}{more}.")
    return found[0] + 1


def _neighbours(cache: Cache, dataset: Dataset, item: int, pooling: str, whole: bool) -> Table:
    unit = unit_rows(to_float32(cache.read(pooling)))
    cosine = unit @ unit[item - 1]
    cosine[item - 1] = -np.inf
    n = min(NEAREST, cache.n_items - 1)
    rows = np.argsort(-cosine, kind="stable")[:n].astype(np.int32)
    ids, texts = dataset.item_ids_of(rows + 1), dataset.texts_of(rows + 1)
    cells: list[list[Cell]] = [
        [place, float(cosine[row]), each, text if whole else cut(text)]
        for place, row, each, text in zip(range(1, n + 1), rows.tolist(), ids, texts, strict=True)
    ]
    number = np.array([item], np.int32)
    (own,), (text,) = dataset.item_ids_of(number), dataset.texts_of(number)
    return Table(f"Nearest to {own}, {cut(text)} ({pooling})", ["", "cosine", "item", "text"], cells)


def cut(text: str) -> str:
    """A text in one line that fits a table."""
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"
