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
    """Means on the left; classes, the worst at the top, and their thresholds on the right."""
    shown = numbers.classes[:_MAX_CLASSES]
    figure = new_figure(max(3.0, 1.2 + 0.16 * len(shown)))
    left, middle, right = figure.subplots(1, 3, width_ratios=[5, 4, 3])
    bars = _draw_means(left, numbers)
    points = _draw_classes(middle, numbers, "olrp")
    _draw_classes(right, numbers, "threshold")
    middle.set_yticks(np.arange(len(shown)), map(short, shown))
    middle.set(xlabel="percent")
    right.set(xlabel="score", xlim=(-0.02, 1.02))
    right.tick_params(labelleft=False)
    hidden = len(numbers.classes) - len(shown)
    label_panel(left, "(a) means, lower is better")
    label_panel(middle, f"(b) oLRP{f', {len(shown)} worst classes' if hidden else ' of classes'}")
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


def _draw_classes(axes: Axes, numbers: LRPTable, name: str) -> dict[str, Line2D]:
    """Returns the points by run."""
    places, handles = np.arange(min(len(numbers.classes), _MAX_CLASSES)), {}
    points = run_points(numbers.values)
    for i, (run, point) in enumerate(points.items()):
        values = [getattr(numbers.values[run][place], name) for place in places]
        at = places + spread(i, len(points))
        (handles[run],) = axes.plot(values, at, linestyle="", markersize=4.5, **point)
    axes.set_yticks(places)
    axes.set_ylim(len(places) - 0.4, -0.6)
    axes.grid()
    return handles
