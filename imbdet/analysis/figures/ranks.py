"""The step that compares two scores, and the ranks of the positives."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imbdet.analysis.figures.style import BARS, LINES, label_panel, new_figure
from imbdet.analysis.ranks import DELTAS, RankHistogram, step


def draw_ranks(numbers: RankHistogram) -> Figure:
    """The step on the left, the histogram on the right."""
    figure = new_figure(2.8)
    left, right = figure.subplots(1, 2, width_ratios=[2, 3])
    _draw_steps(left)
    _draw_histogram(right, numbers)
    return figure


def _draw_steps(axes: Axes) -> None:
    x = np.linspace(-2.5, 2.5, 1001)
    for delta, style in zip(DELTAS, LINES, strict=True):
        axes.plot(x, step(x, delta), label=f"{delta:g}", **style)
    axes.set(xlabel="logit of k - logit of i", ylabel="H: how far k stands above i")
    axes.grid()
    axes.legend(title="δ", loc="upper left")
    label_panel(axes, "(a) the step of the ranking losses")


def _draw_histogram(axes: Axes, numbers: RankHistogram) -> None:
    lows, highs = numbers.edges[:-1], numbers.edges[1:] - 1
    places = np.arange(len(lows))
    for i, (name, counts) in enumerate(
        {"all positives": numbers.every, "best of each object": numbers.best}.items()
    ):
        share = counts / max(counts.sum(), 1)
        axes.bar(places + 0.4 * i - 0.2, share, 0.4, label=name, **BARS[i])
    labels = [f"{a:,}" if a == b else f"≤ {b:,}" for a, b in zip(lows, highs, strict=True)]
    axes.set_xticks(places, labels, rotation=45, ha="right")
    axes.set(xlabel="negatives of its image at or above the positive", ylabel="share")
    axes.grid(axis="y")
    axes.set_ylim(0, 1.2 * axes.get_ylim()[1])  # room for the legend
    axes.legend(loc="upper center", ncols=2)
    label_panel(axes, "(b) where positives stand")
