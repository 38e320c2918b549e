"""The page's charts as PNG files."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from plmrs.canvas import BLUE, DOTS, GREY, LINES, SIZE, canvas, legend
from plmrs.workspace import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osD^vPX*"
RAMP = ("#E69F00", "#8AB8EC", "#5B9BE3", "#2A70C8", "#0B3F86")
"""Colours of popularity: items never in training stand out, the others from light to dark."""
COLOURS = (*LINES, "#8C7A00", "#999999")
"""Of categories, the last for the rest."""
LONGEST_LABEL = 28


def write_plots(folder: Path, content: Mapping[str, Any], metric: str) -> list[Path]:
    """Draw the charts of what `page_content` gives, and give the files.

    Args:
        folder: Where they are written.
        content: What was found.
        metric: The metric that is drawn.
    """
    paths = []
    for name, figure in _figures(content, metric):
        path = folder / f"{name}.png"
        with atomic_file(path) as temporary:
            figure.savefig(temporary, dpi=DOTS)
        paths.append(path)
    return paths


def _figures(content: Mapping[str, Any], metric: str) -> Iterator[tuple[str, "Figure"]]:
    split = content["split"]
    yield f"{split}_metrics", _bars(content, metric)
    kinds = dict.fromkeys(group["by"] for group in content["groups"][1:])
    for by in kinds:
        yield f"{split}_by_{re.sub('[^a-z]+', '_', by)}", _dots(content, by, metric)
    if any(run["epochs"] for run in content["curves"]):
        yield "training", _curves(content)
    for colours in content["map"]["colours"]:
        yield f"items_by_{colours['by']}", _map(content, colours)


def _title(content: Mapping[str, Any], metric: str) -> str:
    of = "test" if content["split"] == "test" else "validation"
    return f"{content['dataset']}: {of} {metric}"


def _shares(axes: "Axes", labels: Sequence[str], metric: str) -> None:
    """Numbers from 0 across, names up, the first on top."""
    from matplotlib.ticker import AutoLocator, FuncFormatter

    axes.set_yticks(range(len(labels)), labels, parse_math=False)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(AutoLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel(metric)
    axes.set_ylabel("")


def _short(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"


def _bars(content: Mapping[str, Any], metric: str) -> "Figure":
    figure, axes = canvas(_title(content, metric), metric, "")
    methods, everyone = content["methods"], content["groups"][0]
    values = [everyone["metrics"][method][metric] for method in methods]
    colours = [BLUE if method in content["runs"] else GREY for method in methods]
    axes.barh(range(len(methods)), values, color=colours, height=0.62)
    ends = _ends(everyone, methods, metric)
    if ends is not None:
        axes.errorbar(values, range(len(methods)), xerr=_errors(values, ends), fmt="none", ecolor="black", capsize=3)
    _shares(axes, [_short(method) for method in methods], metric)
    most = max([*values, *(ends[:, 1] if ends is not None else [])]) or 1.0
    axes.set_xlim(0, most * 1.14)
    for place, value in enumerate(values):
        end = value if ends is None else float(ends[place, 1])
        axes.text(end + most * 0.012, place, f"{value:.4f}", va="center", fontsize=11)
    if ends is not None:
        axes.set_xlabel(f"{metric}, 95 % intervals over {everyone['users']:,} users")
    return figure


def _dots(content: Mapping[str, Any], by: str, metric: str) -> "Figure":
    """A row a group, a mark a method; intervals of the runs."""
    figure, axes = canvas(f"{_title(content, metric)} by {by}", metric, "")
    groups = [group for group in content["groups"] if group["by"] == by]
    places = np.arange(len(groups))
    for number, method in reversed(list(enumerate(content["methods"]))):
        values = [group["metrics"][method][metric] for group in groups]
        colour, marker = LINES[number % len(LINES)], MARKERS[number % len(MARKERS)]
        ends = np.array([_end(group, method, metric, value) for group, value in zip(groups, values, strict=True)])
        own = method in content["runs"]
        axes.errorbar(
            values,
            places + _aside(method, list(content["runs"])),
            xerr=_errors(values, ends) if own else None,
            fmt=marker,
            color=colour,
            markersize=9 if own else 7,
            capsize=3,
            label=_short(method),
            zorder=3 if own else 2,
            clip_on=False,
        )
    _shares(axes, [f"{_short(group['group'])}\n{group['users']:,} users" for group in groups], metric)
    handles, labels = axes.get_legend_handles_labels()
    legend(axes, handles=handles[::-1], labels=labels[::-1], ncols=2)
    return figure


def _aside(method: str, runs: Sequence[str]) -> float:
    """How far a mark is drawn from the middle of its row, so that several runs do not hide one another."""
    return 0.16 * (runs.index(method) - (len(runs) - 1) / 2) if method in runs else 0.0


def _end(group: Mapping[str, Any], method: str, metric: str, value: float) -> Sequence[float]:
    found: Sequence[float] = group.get("intervals", {}).get(method, {}).get(metric, (value, value))
    return found


def _ends(group: Mapping[str, Any], methods: Sequence[str], metric: str) -> Any:
    """Where the intervals of all methods begin and end [methods, 2]; None without."""
    if not group.get("intervals"):
        return None
    return np.array([_end(group, method, metric, 0.0) for method in methods])


def _errors(values: Sequence[float], ends: Any) -> Any:
    """How far intervals reach to both sides. [2, n]"""
    return np.stack([values - ends[:, 0], ends[:, 1] - values]).clip(min=0)


def _curves(content: Mapping[str, Any]) -> "Figure":
    """Loss and validation by epoch, side by side."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    runs = [run for run in content["curves"] if run["epochs"]]
    names = list(dict.fromkeys(name for run in runs for name in run["series"]))
    figure = Figure(figsize=SIZE, layout="constrained")
    figure.suptitle(f"{content['dataset']}: training", x=0.01, ha="left", fontsize=13)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for number, run in enumerate(runs):
            values = np.array(run["series"].get(name, []), dtype=float)
            if not len(values):
                continue
            colour = LINES[number % len(LINES)]
            axes.plot(run["epochs"], values, color=colour, linewidth=2, label=_short(run["run"]))
            if run["best"] in run["epochs"]:
                best = run["epochs"].index(run["best"])
                axes.plot(run["best"], values[best], "o", markerfacecolor="white", color=colour, markersize=8)
        axes.set_title("training loss" if name == "loss" else f"validation {name}", fontsize=12, loc="left")
        axes.set_xlabel("epoch; the ring marks the best", fontsize=11)
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes.grid(color="#E0E0E0", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        if len(runs) > 1:
            axes.legend(fontsize=10, frameon=False)
    return figure


def _map(content: Mapping[str, Any], colours: Mapping[str, Any]) -> "Figure":
    """The items in the plane, by one way of colouring."""
    items, group = content["map"], np.array(colours["of"])
    figure, axes = canvas(f"{content['dataset']}: items as {content['run']} sees them, by {colours['by']}", "", "")
    x, y = np.array(items["x"]), items["height"] - np.array(items["y"])
    ramp = RAMP if colours["by"] == "popularity" else COLOURS
    for number, name in enumerate(colours["groups"]):
        here = group == number
        if here.any():
            axes.scatter(x[here], y[here], s=9, color=ramp[number], alpha=0.8, linewidths=0, label=_short(name))
    shares = [f"{share:.0%}" for share in items["explained"]]
    axes.set_xlabel(f"first direction, {shares[0]} of the spread")
    axes.set_ylabel(f"second, {shares[1]}")
    axes.set(xticks=[], yticks=[])
    legend(axes, loc="center left", bbox_to_anchor=(1, 0.5), borderaxespad=None, markerscale=3, handletextpad=0.2)
    return figure
