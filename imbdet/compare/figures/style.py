"""How runs are told apart, by colour, lightness and dash or hatch."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple

from imbdet.analysis.figures.style import CATEGORIES, LINES, plain
from imbdet.compare.bootstrap import Estimate

# Of the distance from one group of bars or points to the next.
GROUP_WIDTH = 0.8

_HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx")
_MARKERS = "osD^v"


def run_lines(runs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Each run's line, the baseline first."""
    runs = list(runs)
    lines = [{"linewidth": 1.5, **line} for _, line in zip(runs, cycle(LINES), strict=False)]
    if len(runs) > len(LINES):
        for color, line in zip(cycle(CATEGORIES), lines, strict=False):
            line["color"] = color
    return dict(zip(runs, lines, strict=True))


def run_bars(runs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Each run's bars."""
    return {
        run: {"facecolor": line["color"], "hatch": hatch, "edgecolor": "white", "linewidth": 0}
        for (run, line), hatch in zip(run_lines(runs).items(), cycle(_HATCHES), strict=False)
    }


def run_points(runs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Each run's points."""
    return {
        run: {"color": line["color"], "marker": marker}
        for (run, line), marker in zip(run_lines(runs).items(), cycle(_MARKERS), strict=False)
    }


def spread(index: int, number: int) -> float:
    """Where the ``index``-th of ``number`` bars or points of a group stands, about 0."""
    return (index - (number - 1) / 2) * GROUP_WIDTH / number


def draw_estimates(
    axes: Axes,
    places: np.ndarray,
    estimates: Sequence[Estimate],
    style: Mapping[str, Any],
    *,
    is_difference: bool = False,
) -> PathCollection:
    """Points with their intervals as vertical lines; an undecided difference is hollow.

    Returns:
        The points.
    """
    values, lows, highs = np.array([(e.value, e.low, e.high) for e in estimates]).T
    axes.vlines(places, lows, highs, color=style["color"], linewidth=1.2)
    faces = [
        "white" if is_difference and estimate.verdict == "undecided" else style["color"]
        for estimate in estimates
    ]
    return axes.scatter(
        places,
        values,
        s=18,
        c=faces,
        edgecolors=style["color"],
        marker=style["marker"],
        zorder=3,
        clip_on=False,  # whole, even at the end of an axis
    )


def add_legend(figure: Figure, handles: Mapping[str, Any]) -> None:
    """A legend below the panels, as wide as the figure allows.

    Args:
        figure: with its panels.
        handles: by run, what matplotlib draws in a legend; a tuple side by side.
    """
    width = max(0.07 * len(run) + 0.6 for run in handles)  # inches
    num_rows = math.ceil(len(handles) / max(1, int(figure.get_figwidth() / width)))
    figure.legend(
        handles.values(),
        map(plain, handles),
        loc="outside lower center",
        ncols=math.ceil(len(handles) / num_rows),
        handler_map={tuple: HandlerTuple(ndivide=None)},
    )
