"""A model's items as points of a plane, for a map."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plmrs.data.dataset import Dataset
from plmrs.evaluate.groups import name_of_rest

POINTS = 3_000
"""Items on the map at most."""
SEED = 0
WIDTH, LEAST, MOST = 1_000, 500, 700
"""Width of the map, and its height at least and at most; places are whole numbers."""
CATEGORIES = 7
"""Categories that have a colour of their own; the others share one."""
POPULARITY = {"never in training": 0, "1–5": 5, "6–20": 20, "21–200": 200, "more than 200": None}
"""Groups of items by their interactions in training, up to the number."""


def axes_of(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The two directions in which rows spread most, and their shares of the spread (principal components).

    Args:
        vectors: Rows. [n, H]

    Returns:
        The rows' places along both [n, 2], and the shares [2]. Of each direction the largest part is positive.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    # Two numbers a row and a product of H x H are all that is held beside the rows.
    product = vectors.T @ vectors / len(vectors) - np.outer(mean, mean)
    values, directions = np.linalg.eigh(product.astype(np.float64))
    first = directions[:, ::-1][:, :2]
    first = first * np.sign(first[np.abs(first).argmax(axis=0), np.arange(first.shape[1])])
    total = values.clip(min=0).sum()
    shares = values[::-1][:2].clip(min=0) / total if total else np.zeros(2)
    return vectors @ first - mean @ first, shares


def sampled(n_items: int, shown: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of the items on the map, ascending: those that are shown elsewhere, filled up by chance. [points]"""
    shown = np.unique(shown)[:POINTS]
    others = np.setdiff1d(np.arange(n_items), shown)
    more = min(POINTS - len(shown), len(others))
    drawn = np.random.default_rng(SEED).choice(others, more, replace=False)
    return np.sort(np.concatenate([shown, drawn]))


def map_of(
    vectors: NDArray[np.float32], dataset: Dataset, counts: NDArray[np.int64], shown: NDArray[np.int64]
) -> dict[str, Any]:
    """The map as the page has it.

    Args:
        vectors: The items' vectors as the model compares them with a user's. [items, H]
        dataset: Whose items.
        counts: Interactions of each item in training. [items]
        shown: Rows of items that are on the map whatever is drawn. [n]

    Returns:
        `rows` of the points, their `x` and `y` in whole numbers, the `height` of the map whose width is `WIDTH`, the
        shares of the spread that are `explained`, and `colours`: ways to colour the points, each with the names of
        groups and the group `of` each point.
    """
    places, explained = axes_of(vectors)
    rows = sampled(len(vectors), shown)
    points = places[rows]
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    # As high as the spread wants, within what a screen shows well.
    height = min(MOST, max(LEAST, round(WIDTH * float(span[1]) / max(float(span[0]), 1e-9))))
    scales = np.array([WIDTH, height]) / np.maximum(span, 1e-9)
    whole = np.rint((points - low) * scales).astype(int)
    colours = [_by_popularity(counts[rows])]
    categories = dataset.categories()
    if categories is not None:
        colours.insert(0, _by_category(categories, rows))
    return {
        "rows": rows,
        "x": whole[:, 0].tolist(),
        "y": (height - whole[:, 1]).tolist(),
        "height": height,
        "items": len(vectors),
        "explained": [float(share) for share in explained],
        "colours": colours,
    }


def _by_category(categories: Sequence[str | None], rows: NDArray[np.int64]) -> dict[str, Any]:
    """The largest categories of all items, and the rest."""
    names, code = np.unique([name or "none" for name in categories], return_inverse=True)
    largest = np.argsort(-np.bincount(code), kind="stable")[:CATEGORIES]
    group = np.full(len(names), len(largest))
    group[largest] = np.arange(len(largest))
    rest = [name_of_rest(names)] if len(names) > len(largest) else []
    return {"by": "category", "groups": [*names[largest].tolist(), *rest], "of": group[code[rows]].tolist()}


def _by_popularity(counts: NDArray[np.int64]) -> dict[str, Any]:
    tops = [top for top in POPULARITY.values() if top is not None]
    return {"by": "popularity", "groups": list(POPULARITY), "of": np.searchsorted(tops, counts).tolist()}
