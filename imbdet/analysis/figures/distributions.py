"""Scores of positives and of negatives, as they are and as DR loss weighs them."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imbdet.analysis.distributions import EDGES, ScoreDistributions
from imbdet.analysis.figures.style import LINES, label_panel, new_figure

EXPECTATIONS = {"positives": "P⁺", "negatives": "P⁻"}


def draw_distributions(numbers: ScoreDistributions) -> Figure:
    """The shares of the entries on the left, their weights with P+ and P- on the right."""
    figure = new_figure(2.9)
    left, right = figure.subplots(1, 2)
    _draw_stairs(left, numbers.shares)
    left.set(yscale="log", ylabel="share of the entries")
    label_panel(left, "(a) as they are")
    _draw_stairs(right, numbers.weights)
    right.set(ylabel="share of the weight of an image")
    means = numbers.means
    for (sign, name), style in zip(EXPECTATIONS.items(), LINES, strict=False):
        right.axvline(means[sign], color=style["color"], linewidth=0.8)
        right.annotate(
            name,
            (means[sign], 1),
            xycoords=("data", "axes fraction"),
            xytext=(2, -2),
            textcoords="offset points",
            va="top",
            color=style["color"],
        )
    values = ", ".join(f"{name} {means[sign]:.2f}" for sign, name in EXPECTATIONS.items())
    label_panel(right, f"(b) as DR loss weighs them: {values}")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _draw_stairs(axes: Axes, series: Mapping[str, np.ndarray]) -> None:
    for (sign, values), style in zip(series.items(), LINES, strict=False):
        axes.stairs(values, EDGES, label=sign, **style)
    axes.set(xlim=(0, 1), xlabel="score of a candidate for a class")
    axes.grid()
