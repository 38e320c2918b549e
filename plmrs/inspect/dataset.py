"""A data set's details: what to look at before its numbers are trusted."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plmrs.data.dataset import Dataset
from plmrs.data.splits import split_of
from plmrs.data.tokens import Tokens, list_tokens
from plmrs.inspect.bars import bars, doubling, even
from plmrs.inspect.parts import parts_of, parts_table
from plmrs.inspect.plots import write_plots
from plmrs.inspect.repeats import repeats
from plmrs.inspect.samples import samples_table
from plmrs.inspect.times import time_span, times_table
from plmrs.report import Cell, Table

QUANTILES = {"min": 0, "25 %": 25, "50 %": 50, "75 %": 75, "95 %": 95, "max": 100}
BARS = 12
"""Bars at most where they stand for ranges of one width."""


def dataset_tables(dataset: Dataset, plot: bool, whole: bool = False) -> list[Table]:
    """Counts, distributions, the split's parts and their times, and sample rows.

    Args:
        dataset: The data set.
        plot: Also draw the distributions, into its folder.
        whole: Cut no id and no text of the sample rows.
    """
    split, tokens = split_of(dataset), list_tokens(dataset)
    parts = parts_of(split)
    taken = np.bincount(dataset.histories.items - 1, minlength=dataset.n_items)
    notes = [
        "Repeats: of an item that the user took before; direct: just before.",
        f"It lies in {dataset.folder}.",
    ]
    if plot:
        notes += [f"Drawn: {path}" for path in write_plots(dataset, taken, parts, tokens)]
    return [
        Table(f"Data set {dataset.name}", ["", "value"], _facts(dataset, taken), notes),
        _quantiles(dataset, taken),
        _tokens(tokens),
        parts_table(dataset, split, parts),
        *([times_table(dataset, split, parts)] if dataset.manifest["has_times"] else []),
        samples_table(dataset, split, parts, whole),
    ]


def _facts(dataset: Dataset, taken: NDArray[np.int64]) -> list[list[Cell]]:
    manifest, count = dataset.manifest, len(dataset.histories.items)
    again, just_before = repeats(dataset.histories)
    top = -(-dataset.n_items // 100)
    on_top = int(np.partition(taken, len(taken) - top)[len(taken) - top :].sum())
    facts: list[list[Cell]] = [
        ["source", manifest["source"]],
        ["users", dataset.n_users],
        ["items", dataset.n_items],
        ["interactions", count],
        ["density", f"{count / (dataset.n_users * dataset.n_items):.3%}"],
        ["time span", time_span(dataset)],
        ["repeats", f"{again / count:.1%} of interactions"],
        ["direct repeats", f"{just_before / count:.1%} of interactions"],
        ["most taken 1 % of items", f"{on_top / count:.1%} of interactions"],
        ["items nobody took", int((taken == 0).sum())],
    ]
    if not manifest["has_times"]:
        facts.append(["leakage", "unknown: the source has no times"])
    facts += [
        [f"dropped {tally['what']}", f"{tally['count']:,}: {tally['why']}"]
        for tally in manifest["dropped"]
        if tally["count"]
    ]
    facts.append(["fingerprint", dataset.fingerprint])
    return facts


def _quantiles(dataset: Dataset, taken: NDArray[np.int64]) -> Table:
    rows: list[list[Cell]] = [
        [what, *_spread(values), bars(doubling(values))]
        for what, values in (("items of a user", dataset.histories.lengths), ("uses of an item", taken))
    ]
    columns = ["", *QUANTILES, "min to max"]
    return Table("Quantiles", columns, rows, ["Bars: how many have 0, 1, 2-3, 4-7, 8-15, and so on, from min to max."])


def _tokens(tokens: Sequence[tuple[str, int, Tokens]]) -> Table:
    title = "Tokens of an item's text"
    if not tokens:
        return Table(title, ["", ""], [["unknown", "`plmrs preinfer` tokenises the texts and counts"]])
    quantiles = ("min", "50 %", "95 %", "max")
    rows: list[list[Cell]] = []
    for tokenizer, length, made in tokens:
        spread = dict(zip(QUANTILES, _spread(made.full), strict=True))
        cut = f"{made.n_cut / len(made):.1%}"
        rows.append([tokenizer, *(spread[name] for name in quantiles), bars(even(made.full, BARS)), length, cut])
    columns = ["tokenizer", *quantiles, "min to max", "kept", "cut"]
    return Table(title, columns, rows, ["Cut: the share of items whose text has more tokens than are kept."])


def _spread(values: NDArray[np.integer]) -> list[int]:
    """Quantiles as values that occur: the least that the share of values is not above."""
    return [int(value) for value in np.percentile(values, list(QUANTILES.values()), method="inverted_cdf")]
