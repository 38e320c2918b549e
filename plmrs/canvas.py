"""What figures that are written as PNG files have in common.

They are made without pyplot, whose state a program that uses plmrs may have taken for itself.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE, DOTS = (8.0, 4.5), 200
"""Inches, and dots an inch: 1,600 x 900 pixels, lettered to be read at half the size."""

# Okabe and Ito's colours, which the colour-blind tell apart.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#999999"
LINES = (BLUE, ORANGE, GREEN, "#CC79A7", "#D55E00", "#56B4E9")


def canvas(title: str, across: str, up: str, logarithmic: bool = False) -> tuple["Figure", "Axes"]:
    """An empty figure: a title, two named axes of whole numbers and a light grid behind them."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    figure = Figure(figsize=SIZE, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    axes = figure.add_subplot()
    axes.set_xlabel(across, fontsize=12, parse_math=False)  # a column may be called anything
    axes.set_ylabel(up, fontsize=12)
    axes.tick_params(labelsize=11)
    axes.grid(color="#E0E0E0", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if logarithmic:
        axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        if not logarithmic:
            axis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axis.set_minor_formatter(NullFormatter())
    return figure, axes


def legend(axes: "Axes", **how: Any) -> None:
    """What the colours and lines mean, above the axes, where it hides nothing, unless told otherwise."""
    above = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
    for text in axes.legend(**{**above, "fontsize": 11, "frameon": False, **how}).get_texts():
        text.set_parse_math(False)  # a category may be called anything
