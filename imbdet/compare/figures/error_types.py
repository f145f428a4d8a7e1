"""What each type of error costs."""

import numpy as np
from matplotlib.figure import Figure

from imbdet.analysis.figures.style import label_panel, new_figure
from imbdet.compare.error_types import ErrorTypes
from imbdet.compare.figures.style import GROUP_WIDTH, add_legend, run_bars, spread


def draw_error_types(numbers: ErrorTypes) -> Figure:
    """The six types on the left, all false positives and negatives on the right."""
    figure = new_figure(3.0)
    left, right = figure.subplots(1, 2, width_ratios=[3, 1])
    bars, handles = run_bars(numbers.gains), {}
    for axes, part in ((left, slice(None, -2)), (right, slice(-2, None))):
        errors = list(next(iter(numbers.gains.values())))[part]
        places = np.arange(len(errors))
        for i, (run, bar) in enumerate(bars.items()):
            gains = [numbers.gains[run][error] for error in errors]
            at = places + spread(i, len(bars))
            handles[run] = axes.bar(at, gains, GROUP_WIDTH / len(bars), **bar)
        axes.set_xticks(places, [error.replace(" ", "\n") for error in errors])
        axes.set_xlim(-0.6, len(errors) - 0.4)
        axes.grid(axis="y")
    left.set_ylabel("percentage points of AP50\ngained if mended")
    label_panel(left, "(a) types of errors")
    label_panel(right, "(b) all of them")
    add_legend(figure, handles)
    return figure
