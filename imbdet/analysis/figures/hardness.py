"""Histogram of the negatives' IoU, random against hard."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from imbdet.analysis.columns import percent
from imbdet.analysis.figures.style import LINES, new_figure
from imbdet.analysis.hardness import COMPARED, EDGES, THRESHOLD, Hardness


def draw_hardness(numbers: Hardness) -> Figure:
    """Two histograms over each other, with the share above the threshold."""
    figure = new_figure(2.8, width=5.0)
    axes = figure.add_subplot()
    last = max(np.flatnonzero(counts)[-1] for counts in numbers.counts.values() if counts.any())
    edges = EDGES[: last + 2]
    for name, style in zip(COMPARED, LINES, strict=False):
        counts = numbers.counts[name]
        share = counts / max(counts.sum(), 1)
        label = f"{name}: {percent(numbers.shares_above[name])} above {THRESHOLD}"
        axes.stairs(
            share[: last + 1], edges, baseline=None, label=label, **{"linewidth": 1.5, **style}
        )
    axes.axvline(THRESHOLD, color="black", linewidth=0.8, linestyle=":")
    axes.set(
        xlim=(0, edges[-1]),
        yscale="log",
        xlabel="IoU of the negative with its nearest object",
        ylabel="share of the chosen negatives",
    )
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid()
    axes.legend(title="negatives chosen")
    return figure
