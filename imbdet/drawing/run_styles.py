"""Styles that distinguish runs by colour, lightness and dash, hatch or marker."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple

from imbdet.drawing.style import CATEGORIES, LINES, plain

Kind = TypeVar("Kind")

# Share of the distance from one group of bars or points to the next.
GROUP_WIDTH = 0.8

_HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx")
_MARKERS = "osD^v"


def run_lines(runs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The line style of each run, the baseline first."""
    runs = list(runs)
    lines = [{"linewidth": 1.5, **_nth(LINES, i)} for i in range(len(runs))]
    if len(runs) > len(LINES):
        for i, line in enumerate(lines):
            line["color"] = CATEGORIES[i % len(CATEGORIES)]
    return dict(zip(runs, lines, strict=True))


def run_bars(runs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The bar style of each run."""
    return {
        run: {
            "facecolor": line["color"],
            "hatch": _nth(_HATCHES, i),
            "edgecolor": "white",
            "linewidth": 0,
        }
        for i, (run, line) in enumerate(run_lines(runs).items())
    }


def run_points(runs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The marker style of each run."""
    return {
        run: {"color": line["color"], "marker": _nth(_MARKERS, i)}
        for i, (run, line) in enumerate(run_lines(runs).items())
    }


def _nth(kinds: Sequence[Kind], index: int) -> Kind:
    """The kinds in turns, shifted with each round of colours, so that no two runs look alike."""
    return kinds[(index + index // len(CATEGORIES)) % len(kinds)]


def spread(index: int, number: int) -> float:
    """The position of the ``index``-th of ``number`` bars or points of a group around 0."""
    return (index - (number - 1) / 2) * GROUP_WIDTH / number


def add_legend(figure: Figure, handles: Mapping[str, Any]) -> None:
    """A legend below the panels, as wide as the figure allows.

    Args:
        figure: figure with its panels.
        handles: legend handles of matplotlib by run; those of a tuple are drawn side by side.
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
