"""COCO's metrics and their differences, each with its interval."""

import numpy as np
from matplotlib.figure import Figure

from imbdet.analysis.figures.style import label_panel, new_figure, short
from imbdet.compare.bootstrap import CONFIDENCE
from imbdet.compare.coco_table import CocoTable
from imbdet.compare.figures.style import add_legend, draw_estimates, run_points, spread


def draw_coco_table(numbers: CocoTable) -> Figure:
    """Values on the left, differences to the baseline on the right."""
    figure = new_figure(2.9)
    left, right = figure.subplots(1, 2)
    points = run_points(numbers.values)
    baseline, *others = points
    metrics = list(numbers.values[baseline])
    places, handles = np.arange(len(metrics)), {}
    for i, (run, point) in enumerate(points.items()):
        estimates = list(numbers.values[run].values())
        at = places + spread(i, len(points))
        handles[run] = draw_estimates(left, at, estimates, point)
    for i, run in enumerate(others):
        estimates = list(numbers.differences[run].values())
        at = places + spread(i, len(others))
        draw_estimates(right, at, estimates, points[run], is_difference=True)
    right.axhline(0, color="black", linewidth=0.8)
    left.set(ylabel="percent", ylim=(0, None))
    right.set(ylabel="percentage points\n(hollow: undecided)")
    for axes in (left, right):
        axes.set_xticks(places, metrics)
        axes.set_xlim(-0.6, len(metrics) - 0.4)
        axes.grid(axis="y")
    label_panel(left, f"(a) values with {CONFIDENCE:.0%} intervals")
    label_panel(right, f"(b) minus {short(baseline)}")
    add_legend(figure, handles)
    return figure
