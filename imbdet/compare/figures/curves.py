"""A panel for each scalar of the training."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from imbdet.analysis.figures.style import label_panel, new_figure
from imbdet.compare.curves import AP, Curve, Curves
from imbdet.compare.figures.style import add_legend, run_lines

_NUM_COLUMNS = 3


def draw_curves(numbers: Curves) -> Figure:
    """The smoothed curves, with the raw ones faint behind them."""
    scalars, runs = list(numbers.curves), numbers.runs
    num_columns = min(_NUM_COLUMNS, len(scalars))
    num_rows = -(-len(scalars) // num_columns)
    figure = new_figure(2.1 * num_rows + 0.4)
    panels = list(figure.subplots(num_rows, num_columns, squeeze=False).flat)
    last = max(c.iterations[-1] for of_runs in numbers.curves.values() for c in of_runs.values())
    lines = run_lines(runs)
    for axes, scalar in zip(panels, scalars, strict=False):
        _draw_panel(axes, numbers.curves[scalar], lines, is_exact=scalar == AP)
        label_panel(axes, "AP in percent" if scalar == AP else scalar)
        axes.set(xlabel="iteration", xlim=(0, 1.03 * last + 1))
        axes.grid()
    for axes in panels[len(scalars) :]:
        axes.set_axis_off()
    add_legend(figure, {run: Line2D([], [], **line) for run, line in lines.items()})
    return figure


def _draw_panel(
    axes: Axes, curves: Mapping[str, Curve], lines: Mapping[str, Any], *, is_exact: bool
) -> None:
    for run, curve in curves.items():
        if is_exact:  # and seldom: nothing to smooth
            axes.plot(curve.iterations, curve.values, marker="o", markersize=4, **lines[run])
            continue
        color = lines[run]["color"]
        axes.plot(curve.iterations, curve.values, color=color, alpha=0.3, linewidth=0.8)
        axes.plot(curve.iterations, curve.smoothed, **lines[run])
