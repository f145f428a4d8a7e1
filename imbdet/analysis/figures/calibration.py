"""Reliability plot."""

import numpy as np
from matplotlib.figure import Figure

from imbdet.analysis.calibration import NUM_BINS, Calibration
from imbdet.analysis.figures.style import DARK, LIGHT, MIDDLE, label_panel, new_figure


def draw_calibration(numbers: Calibration) -> Figure:
    """Share of right entries by score above, how many have that score below."""
    figure = new_figure(4.7, width=4.2)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    edges = np.arange(NUM_BINS + 1) / NUM_BINS
    top.stairs(np.nan_to_num(numbers.shares), edges, fill=True, color=LIGHT, label="share right")
    top.plot([0, 1], [0, 1], color="black", linewidth=0.8, label="a score that means what it says")
    top.plot(
        numbers.mean_scores,
        numbers.shares,
        "o",
        color=DARK,
        markersize=4,
        label="at the mean score",
    )
    top.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of right entries")
    bottom.stairs(numbers.counts, edges, fill=True, color=LIGHT)
    bottom.set(yscale="log", ylabel="entries", xlabel="score of a candidate for a class")
    for axes in (top, bottom):
        axes.grid()
        axes.axvline(
            numbers.score_thresh, color=MIDDLE, linestyle="--", label="threshold of the test"
        )
    figure.legend(*top.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    error = numbers.expected_error
    label_panel(
        top,
        f"no score of {1 / NUM_BINS:g} or more"
        if np.isnan(error)
        else f"mean error of scores of {1 / NUM_BINS:g} or more: {error:.3f}",
    )
    return figure
