"""Optimal LRP of several runs; see :mod:`imbdet.evaluation.lrp`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from imbdet.drawing.run_styles import GROUP_WIDTH, add_legend, run_bars, run_points, spread
from imbdet.drawing.style import label_panel, new_figure, short
from imbdet.evaluation.lrp import OptimalLRP, optimal_lrp
from imbdet.evaluation.matches import ClassMatches
from imbdet.figures.estimates import nan_mean
from imbdet.figures.study import Study

# Names of more classes would be too small to read.
_MAX_CLASSES = 40

COMPONENTS = {"olrp": "oLRP", "localisation": "oLRP Loc", "fp": "oLRP FP", "fn": "oLRP FN"}


@dataclass(frozen=True)
class LRPTable(Study):
    """Optimal LRP of the classes that have objects.

    Attributes:
        classes: names of the classes, the one with the baseline's highest error first.
        values: optimal LRP of each class by run, the baseline first.
    """

    name = "lrp"
    title = "Optimal localisation recall precision"
    caption = (
        "The error at the best score threshold of each class, and its components: how badly "
        "right boxes fit (Loc), the shares of wrong detections (FP) and of missed objects (FN). "
        "Lower is better. Classes stand by the baseline's error, the worst first; one without a "
        "threshold is best not detected at all."
    )

    classes: Sequence[str]
    values: Mapping[str, Sequence[OptimalLRP]]

    def means(self, run: str) -> dict[str, float]:
        """The mean of each component over the classes where it is defined."""
        return {
            name: float(nan_mean(np.array([getattr(v, name) for v in self.values[run]]), axis=0))
            for name in COMPONENTS
        }

    def thresholds(self, run: str) -> dict[str, float]:
        """The best threshold of each class."""
        values = (value.threshold for value in self.values[run])
        return dict(zip(self.classes, values, strict=True))

    def table(self) -> pa.Table:
        """See :class:`Study`; a row for each run and class, and for the mean (class null)."""
        rows = []
        for run, values in self.values.items():
            rows.append({"run": run, "class": None, **self.means(run), "threshold": None})
            for name, value in zip(self.classes, values, strict=True):
                rows.append({"run": run, "class": name, **vars(value)})
        return pa.Table.from_pylist(rows)

    def sentence(self) -> str:
        """See :class:`Study`."""
        parts = []
        for run in self.values:
            means = self.means(run)
            numbers = " / ".join(
                "-" if np.isnan(means[name]) else f"{means[name]:.1f}" for name in COMPONENTS
            )
            parts.append(f"{run} {numbers}")
        return f"{' / '.join(COMPONENTS.values())}, lower is better: {'; '.join(parts)}."

    def draw(self) -> Figure:
        """Means on the left; classes, the worst at the top, and their thresholds on the right."""
        shown = self.classes[:_MAX_CLASSES]
        figure = new_figure(max(3.0, 1.2 + 0.16 * len(shown)))
        left, middle, right = figure.subplots(1, 3, width_ratios=[5, 4, 3])
        bars = _draw_means(left, self)
        points = _draw_classes(middle, self, "olrp")
        _draw_classes(right, self, "threshold")
        middle.set_yticks(np.arange(len(shown)), map(short, shown))
        middle.set(xlabel="percent")
        right.set(xlabel="score", xlim=(-0.02, 1.02))
        right.tick_params(labelleft=False)
        hidden = len(self.classes) - len(shown)
        label_panel(left, "(a) means, lower is better")
        label_panel(
            middle, f"(b) oLRP{f', {len(shown)} worst classes' if hidden else ' of classes'}"
        )
        label_panel(right, "(c) best thresholds")
        add_legend(figure, {run: (bars[run], points[run]) for run in bars})
        return figure


def lrp_table(runs: Mapping[str, Mapping[str, ClassMatches]]) -> LRPTable:
    """Compute the optimal LRP of the classes with objects.

    Args:
        runs: matches of each class by run, the baseline first; some classes have objects.
    """
    first = next(iter(runs.values()))
    values = {
        run: {name: optimal_lrp(of_run[name]) for name in first if first[name].num_objects[0].any()}
        for run, of_run in runs.items()
    }
    baseline = next(iter(values.values()))
    classes = sorted(baseline, key=lambda name: -baseline[name].olrp)
    return LRPTable(
        classes, {run: [of_run[name] for name in classes] for run, of_run in values.items()}
    )


def _draw_means(axes: Axes, numbers: LRPTable) -> dict[str, BarContainer]:
    """Draw the means, and return the bars by run."""
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
    """Draw one value of each class, and return the points by run."""
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
