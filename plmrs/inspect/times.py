"""When each part of the split was taken, and how much of what is held out is older than what is trained on."""

import numpy as np
from numpy.typing import NDArray

from plmrs.data.dataset import Dataset
from plmrs.data.dates import are_dates
from plmrs.data.splits import Split
from plmrs.inspect.bars import bars
from plmrs.inspect.parts import PARTS, TEST, TRAIN, VAL
from plmrs.report import Cell, Table

BARS = 24
"""Bars at most of a row."""

AT_ONCE = 1 << 22
"""Interactions looked at together, which bounds the memory for intermediate arrays."""


def time_span(dataset: Dataset) -> str:
    """From when to when the interactions are."""
    if not dataset.manifest["has_times"]:
        return "unknown: the source has no times"
    first, last = int(dataset.times.min()), int(dataset.times.max())
    span, unit = f"{told(dataset, first)} to {told(dataset, last)}", dataset.manifest["time_unit"]
    return f"{span}, {(last - first) / 86400:,.1f} days" if are_dates(unit) else f"{span} ({unit})"


def told(dataset: Dataset, time: int) -> str:
    """A time as a date, to the minute, or as a number."""
    if not are_dates(dataset.manifest["time_unit"]):
        return str(time)
    return str(np.datetime64(time, "s").astype("datetime64[m]")).replace("T", " ")


def over_time(times: NDArray[np.int64], parts: NDArray[np.uint8], first: int, width: int, n: int) -> NDArray[np.int64]:
    """Interactions of each part in each of `n` stretches of time of one width, the first from `first` on. [parts, n]"""
    counts = np.zeros(len(PARTS) * n, np.int64)
    for begin in range(0, len(times), AT_ONCE):
        some = slice(begin, begin + AT_ONCE)
        counts += np.bincount((times[some] - first) // width + n * parts[some].astype(np.int64), minlength=len(counts))
    return counts.reshape(len(PARTS), n)


def times_table(dataset: Dataset, split: Split, parts: NDArray[np.uint8]) -> Table:
    """From when to when each part is, and its leakage."""
    times = dataset.times
    first = int(times.min())
    span = int(times.max()) - first + 1
    width = -(-span // BARS)
    counts = over_time(times, parts, first, width, -(-span // width))
    trained = times[parts == TRAIN]
    newest = int(trained.max())
    rows: list[list[Cell]] = [
        ["train", told(dataset, int(trained.min())), told(dataset, newest), None, bars(counts[TRAIN])]
    ]
    for part, held_out in ((VAL, split.val), (TEST, split.test)):
        when = times[held_out.places]
        ends = [told(dataset, int(time)) for time in (when.min(), when.max())]
        rows.append([PARTS[part], *ends, f"{(when < newest).mean():.1%}", bars(counts[part])])
    notes = [
        f"Leakage: targets older than the newest training click ({told(dataset, newest)}).",
        f"Bars: each row to its own scale. Times: {dataset.manifest['time_unit']}.",
    ]
    return Table("Times", ["", "from", "to", "leakage", "over time"], rows, notes)
