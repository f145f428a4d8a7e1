"""Optimal LRP, its components, and its classes."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from imbdet.analysis.figures.style import label_panel, new_figure, short
from imbdet.compare.figures.style import (
    GROUP_WIDTH,
    add_legend,
    run_bars,
    run_points,
    spread,
)
from imbdet.compare.lrp import COMPONENTS, LRPTable

# Names of more classes would be too small to read.
_MAX_CLASSES = 40


def draw_lrp(numbers: LRPTable) -> Figure:
    """Means on the left; classes and their thresholds, by the baseline's error, on the right."""
    baseline = next(iter(numbers.values))
    order = np.argsort([value.olrp for value in numbers.values[baseline]], kind="stable")
    order = order[-_MAX_CLASSES:]
    figure = new_figure(max(3.0, 1.2 + 0.16 * len(order)))
    left, middle, right = figure.subplots(1, 3, width_ratios=[5, 4, 3])
    bars = _draw_means(left, numbers)
    points = _draw_classes(middle, numbers, order, "olrp")
    _draw_classes(right, numbers, order, "threshold")
    middle.set_yticks(np.arange(len(order)), [short(numbers.classes[k]) for k in order])
    middle.set(xlabel="percent")
    right.set(xlabel="score", xlim=(-0.02, 1.02))
    right.tick_params(labelleft=False)
    hidden = len(numbers.classes) - len(order)
    label_panel(left, "(a) means, lower is better")
    label_panel(middle, f"(b) oLRP{f', {len(order)} worst classes' if hidden else ' of classes'}")
    label_panel(right, "(c) best thresholds")
    add_legend(figure, {run: (bars[run], points[run]) for run in bars})
    return figure


def _draw_means(axes: Axes, numbers: LRPTable) -> dict[str, BarContainer]:
    """Returns the bars by run."""
    places, handles = np.arange(len(COMPONENTS)), {}
    bars = run_bars(numbers.values)
    for i, (run, bar) in enumerate(bars.items()):
        at = places + spread(i, len(bars))
        means = numbers.means(run).values()
        handles[run] = axes.bar(at, means, GROUP_WIDTH / len(bars), **bar)
    axes.set_xticks(places, [title.replace(" ", "\n") for title in COMPONENTS.values()])
    axes.set(ylabel="percent")
    axes.grid(axis="y")
    return handles


def _draw_classes(axes: Axes, numbers: LRPTable, order: np.ndarray, name: str) -> dict[str, Line2D]:
    """Returns the points by run."""
    places, handles = np.arange(len(order)), {}
    points = run_points(numbers.values)
    for i, (run, point) in enumerate(points.items()):
        values = [getattr(numbers.values[run][k], name) for k in order]
        at = places - spread(i, len(points))  # the baseline at the top
        (handles[run],) = axes.plot(values, at, linestyle="", markersize=4.5, **point)
    axes.set_yticks(places)
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.grid()
    return handles
