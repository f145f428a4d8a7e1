"""Change of each class's AP."""

import numpy as np
from matplotlib.figure import Figure

from imbdet.analysis.figures.style import label_panel, new_figure
from imbdet.compare.bootstrap import CONFIDENCE
from imbdet.compare.class_ap import ClassAP
from imbdet.compare.figures.style import GROUP_WIDTH, add_run_legend, run_bars, spread

# Of more classes only those at both ends are drawn.
_MAX_CLASSES = 40


def draw_class_ap(numbers: ClassAP) -> Figure:
    """Horizontal bars, the class that gains most at the top, with intervals."""
    num_classes = len(numbers.classes)
    half = _MAX_CLASSES // 2
    shown = list(range(num_classes))
    if num_classes > _MAX_CLASSES:
        shown = [*shown[:half], *shown[-half:]]
    baseline, *others = run_bars(numbers.values).items()
    figure = new_figure(1.2 + len(shown) * (0.1 + 0.12 * len(others)))
    axes = figure.add_subplot()
    places = np.arange(len(shown))
    for i, (run, bar) in enumerate(others):
        differences = [numbers.differences[run][k] for k in shown]
        at = places + spread(i, len(others))
        height = GROUP_WIDTH / len(others)
        axes.barh(at, [d.value for d in differences], height, label=run, **bar)
        lows, highs = [d.low for d in differences], [d.high for d in differences]
        axes.hlines(at, lows, highs, color="black", linewidth=0.8)
    axes.axvline(0, color="black", linewidth=0.8)
    names = [f"{numbers.classes[k]} ({numbers.num_objects[k]:,})" for k in shown]
    axes.set_yticks(places, names)
    axes.set(ylim=(len(shown) - 0.4, -0.6), xlabel="change of AP in percentage points")
    axes.grid(axis="x")
    if len(shown) < num_classes:
        axes.axhline(half - 0.5, color="black", linestyle=":", linewidth=0.8)
    label_panel(axes, _title(baseline[0], len(shown), num_classes))
    add_run_legend(figure, axes)
    return figure


def _title(baseline: str, num_shown: int, num_classes: int) -> str:
    which = (
        f"{num_shown} of {num_classes} classes, those that gain and lose most"
        if num_shown < num_classes
        else "classes and their numbers of objects"
    )
    return f"{which}; against {baseline}, lines are {CONFIDENCE:.0%} intervals"
