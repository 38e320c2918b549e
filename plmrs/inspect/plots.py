"""A data set's distributions as PNG files."""

from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from plmrs.canvas import BLUE, DOTS, GREEN, GREY, LINES, ORANGE, canvas, legend
from plmrs.data.dataset import Dataset
from plmrs.data.dates import are_dates
from plmrs.data.tokens import Tokens
from plmrs.inspect.parts import INPUT, PARTS, TEST, TRAIN, VAL
from plmrs.inspect.times import over_time
from plmrs.workspace import atomic_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "plots"
COLOURS = {INPUT: GREY, TRAIN: BLUE, VAL: ORANGE, TEST: GREEN}

DRAWN = 99.5
"""Per cent of the values that an axis reaches to; the longest would stretch it."""

BINS = 60
"""Bars at most for lengths of histories."""

STEPS = {"minute": 60, "hour": 3600, "day": 86400, "week": 7 * 86400, "4 weeks": 28 * 86400}
MOST_STEPS = 160
"""Bars at most over time."""

RANKS = 2000
"""Points that are enough to draw a curve over all ranks."""


def write_plots(
    dataset: Dataset, taken: NDArray[np.int64], parts: NDArray[np.uint8], tokens: Sequence[tuple[str, int, Tokens]]
) -> list[Path]:
    """Draw a data set's distributions into its folder, and give the files.

    Args:
        dataset: The data set.
        taken: How often each item was taken. [items]
        parts: The part of each interaction, as its place in `PARTS`. [interactions]
        tokens: Tokenizer, length kept and tokens of each token file there is.
    """
    paths = []
    for name, figure in _figures(dataset, taken, parts, tokens):
        path = dataset.folder / FOLDER / f"{name}.png"
        with atomic_file(path) as temporary:
            figure.savefig(temporary, dpi=DOTS)
        paths.append(path)
    return paths


def _figures(
    dataset: Dataset, taken: NDArray[np.int64], parts: NDArray[np.uint8], tokens: Sequence[tuple[str, int, Tokens]]
) -> Iterator[tuple[str, "Figure"]]:
    yield "history_lengths", _lengths(dataset)
    yield "popularity", _popularity(dataset, taken)
    if dataset.manifest["has_times"]:
        yield "times", _times(dataset, parts)
    if tokens:
        yield "token_lengths", _tokens(dataset, tokens)


def _lengths(dataset: Dataset) -> "Figure":
    lengths = dataset.histories.lengths
    least, median, most = (int(n) for n in np.percentile(lengths, (0, 50, DRAWN), method="inverted_cdf"))
    width = -(-(most - least + 1) // BINS)
    counts = np.bincount((lengths - least) // width)
    edges = least - 0.5 + width * np.arange(len(counts) + 1)
    figure, axes = canvas(
        f"{dataset.name}: items of a user",
        "items of a user",
        "users" if width == 1 else f"users, in steps of {width} items",
    )
    axes.stairs(counts, edges, fill=True, color=BLUE)
    axes.axvline(median, color="black", linewidth=1.2, linestyle="--", label=f"median: {median:,}")
    behind = least + width * ((most - least) // width + 1)
    if lengths.max() >= behind:
        beyond = int((lengths >= behind).sum())
        axes.plot([], [], " ", label=f"not shown: {beyond:,} users with {behind:,} to {lengths.max():,}")
    axes.set_xlim(edges[0], behind - 0.5)
    legend(axes, ncols=2)
    return figure


def _popularity(dataset: Dataset, taken: NDArray[np.int64]) -> "Figure":
    falling = np.sort(taken[taken > 0])[::-1]
    ranks = np.unique(np.geomspace(1, len(falling), RANKS).astype(np.int64))
    figure, axes = canvas(
        f"{dataset.name}: how often items were taken",
        "rank of the item, the most taken first",
        "times taken",
        logarithmic=True,
    )
    axes.plot(ranks, falling[ranks - 1], color=BLUE, linewidth=2)
    axes.set_xlim(0.8, len(falling) * 1.25)
    axes.set_ylim(0.8, falling[0] * 1.25)
    never = len(taken) - len(falling)
    if never:
        axes.plot([], [], " ", label=f"not shown: {never:,} of {len(taken):,} items, which nobody took")
        legend(axes, handlelength=0)
    return figure


def _times(dataset: Dataset, parts: NDArray[np.uint8]) -> "Figure":
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    times, time_unit = dataset.times, str(dataset.manifest["time_unit"])
    dates = are_dates(time_unit)
    first, last = int(times.min()), int(times.max())
    unit, width = _step(last - first, dates)
    first = first // width * width if dates else first
    n = (last - first) // width + 1
    counts = over_time(times, parts, first, width, n)
    edges = first + width * np.arange(n + 1, dtype=np.float64)
    across = time_unit if not dates else "date (UTC)" if time_unit.endswith("UTC") else "date"
    figure, axes = canvas(f"{dataset.name}: interactions over time", across, f"interactions {unit}")
    if dates:
        edges /= 86400  # matplotlib counts days since 1970
        locator = AutoDateLocator()  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    base = np.zeros(n, np.int64)
    for part in (TRAIN, INPUT, VAL, TEST):
        if counts[part].any():
            axes.stairs(base + counts[part], edges, baseline=base, fill=True, color=COLOURS[part], label=PARTS[part])
        base = base + counts[part]
    axes.set_xlim(edges[0], edges[-1])
    legend(axes, ncols=len(PARTS))
    return figure


def _step(span: int, dates: bool) -> tuple[str, int]:
    """A bar's stretch of time in words and units: the shortest natural one that gives no more bars than are seen."""
    for name, width in STEPS.items() if dates else ():
        if span // width < MOST_STEPS:
            return f"a {name}" if name[0].isalpha() else f"in {name}", width
    width = -(-(span + 1) // MOST_STEPS)
    return f"in steps of {width / 86400:,.0f} days" if dates else f"in steps of {width:,}", width


def _tokens(dataset: Dataset, tokens: Sequence[tuple[str, int, Tokens]]) -> "Figure":
    figure, axes = canvas(f"{dataset.name}: tokens of an item's text", "tokens", "items")
    for (tokenizer, length, made), colour in zip(tokens, cycle(LINES)):
        counts, least = np.bincount(made.full), int(made.full.min())
        told = f"{tokenizer}: up to {made.full.max():,}; {made.n_cut / len(made):.1%} cut to {length} (dashed)"
        edges = np.arange(least, len(counts) + 1) - 0.5
        axes.stairs(counts[least:], edges, color=colour, linewidth=1.6, label=told)
    for length in sorted({length for _, length, made in tokens if made.n_cut}):
        axes.axvline(length + 0.5, color="black", linewidth=1.2, linestyle="--")
    drawn = [max(length * bool(made.n_cut), np.percentile(made.full, DRAWN)) for _, length, made in tokens]
    axes.set_xlim(0, float(max(drawn)) + 1)
    axes.set_ylim(bottom=0)
    legend(axes)
    return figure
