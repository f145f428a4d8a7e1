"""The best thresholds of the images, and what one for all costs."""

import numpy as np
from matplotlib.figure import Figure

from imbdet.analysis.figures.style import DARK, LIGHT, MIDDLE, label_panel, new_figure
from imbdet.analysis.shift import ScoreShift


def draw_shift(numbers: ScoreShift) -> Figure:
    """A histogram of the thresholds on the left, the images' F1 scores on the right."""
    figure = new_figure(2.9)
    left, right = figure.subplots(1, 2)
    edges = np.arange(np.floor(numbers.thresholds.min()), numbers.thresholds.max() + 0.5, 0.25)
    left.hist(numbers.thresholds, edges, color=LIGHT)
    left.axvline(
        numbers.common_threshold, color=MIDDLE, linestyle="--", label="best for all together"
    )
    left.set(xlabel="best threshold of an image (logit)", ylabel="images")
    left.set_ylim(0, 1.2 * left.get_ylim()[1])  # room for the legend
    left.grid(axis="y")
    left.legend()
    label_panel(left, f"(a) {numbers.thresholds.mean():.2f} ± {numbers.thresholds.std():.2f}")
    right.plot([0, 1], [0, 1], color="black", linewidth=0.8)
    right.plot(numbers.common, numbers.own, "o", color=DARK, markersize=3, alpha=0.6, mew=0)
    right.set(
        xlim=(0, 1), ylim=(0, 1), xlabel="F1 at the threshold for all", ylabel="F1 at its own"
    )
    right.grid()
    label_panel(
        right, f"(b) the images: on average {numbers.common.mean():.3f}, {numbers.own.mean():.3f}"
    )
    return figure
