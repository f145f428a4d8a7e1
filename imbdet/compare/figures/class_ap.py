"""Change of each class's AP."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from imbdet.analysis.figures.style import label_panel, new_figure, short
from imbdet.compare.bootstrap import CONFIDENCE
from imbdet.compare.class_ap import ClassAP
from imbdet.compare.figures.style import GROUP_WIDTH, add_legend, run_bars, spread

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
        drawn = axes.barh(at, [d.value for d in differences], height, **bar)
        for rectangle, difference in zip(drawn, differences, strict=True):
            if difference.verdict == "undecided":
                rectangle.set(facecolor="white", edgecolor=bar["facecolor"], linewidth=1, hatch="")
        lows, highs = [d.low for d in differences], [d.high for d in differences]
        axes.hlines(at, lows, highs, color="black", linewidth=0.8)
    axes.axvline(0, color="black", linewidth=0.8)
    names = [f"{short(numbers.classes[k])} ({numbers.num_objects[k]:,})" for k in shown]
    axes.set_yticks(places, names)
    axes.set(ylim=(len(shown) - 0.4, -0.6))
    axes.set_xlabel(
        f"change of AP against {short(baseline[0])}\n"
        f"in percentage points, with {CONFIDENCE:.0%} intervals (hollow: undecided)"
    )
    axes.grid(axis="x")
    if len(shown) < num_classes:
        axes.axhline(half - 0.5, color="black", linestyle=":", linewidth=0.8)
    label_panel(axes, _title(len(shown), num_classes))
    add_legend(figure, {run: Patch(**bar) for run, bar in others})
    return figure


def _title(num_shown: int, num_classes: int) -> str:
    if num_shown == num_classes:
        return "classes and their numbers of objects"
    return f"{num_shown} of {num_classes:,} classes, those that gain and lose most"
