"""How runs are told apart, by colour, lightness and dash or hatch."""

import math
from collections.abc import Iterable, Mapping
from itertools import cycle
from typing import Any

from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple

from imbdet.drawing.style import CATEGORIES, LINES, plain

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
