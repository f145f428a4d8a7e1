"""The curves of a training, from its ``metrics.json``."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from imbdet.reading import read_json_lines
from imbdet.report.elements import caption, note, section
from imbdet.report.plots import Plot, grid, line, new_figure
from imbdet.report.sources import CannotShow, reading
from imbdet.wording import counted

Row = Mapping[str, Any]

# Title of a plot, of its y axis, and which scalars it shows.
_PLOTS: Sequence[tuple[str, str, Callable[[str], bool]]] = (
    ("Losses", "loss", lambda key: key == "total_loss" or key.startswith("loss")),
    ("Average precision", "percent", lambda key: key.endswith(("/AP", "/AP50", "/AP75"))),
    ("IoU of the chosen samples", "mean IoU", lambda key: key.endswith("_chosen_iou")),
    ("Loss of the chosen samples", "mean loss", lambda key: key.endswith("_chosen_loss")),
    ("Learning rate", "learning rate", lambda key: key == "lr"),
    ("Time of an iteration", "seconds", lambda key: key in ("time", "data_time")),
)
_CAPTION = (
    "Medians of 20 iterations as the training logged them, and the evaluations on the way. A click "
    "on a name hides its curve, a double click leaves it alone."
)


def training_content(path: Path) -> list[Element]:
    """The curves, or why there are none."""
    rows, num_damaged = read_scalars(path)
    plots = [plot for plot in (_draw(rows, *args) for args in _PLOTS) if plot is not None]
    if not plots:
        raise CannotShow(f"'{path.name}' has no curves.")
    content = [grid(plots)]
    if num_damaged:
        content.append(note(f"Left out of '{path.name}': {counted(num_damaged, 'damaged line')}."))
    return [section("Curves", caption(_CAPTION), *content)]


def read_scalars(path: Path) -> tuple[list[Row], int]:
    """The lines of a ``metrics.json`` that tell their iteration, and how many are damaged."""
    with reading(path):
        rows, num_damaged = read_json_lines(path)
    return [row for row in rows if isinstance(row.get("iteration"), int)], num_damaged


def training_seconds(rows: Sequence[Row]) -> float:
    """How long the iterations took: each logged median stands for those since the one before."""
    seconds, before = 0.0, -1
    for iteration, time in _by_iteration(rows, "time").items():
        seconds += (iteration - before) * time
        before = iteration
    return seconds


def _by_iteration(rows: Sequence[Row], key: str) -> dict[int, float]:
    """The values of a scalar, in the order of the iterations.

    A run that went on from a checkpoint may have an iteration twice: the later line counts.
    """
    values = {row["iteration"]: row[key] for row in rows if key in row}
    return dict(sorted(values.items()))


def _draw(
    rows: Sequence[Row], title: str, unit: str, is_shown: Callable[[str], bool]
) -> Plot | None:
    keys = sorted({key for row in rows for key in row if is_shown(key)})
    traces = []
    for index, key in enumerate(keys):
        points = _by_iteration(rows, key)
        mode = "lines+markers" if len(points) <= 20 else "lines"
        traces.append(line(key, index, list(points), list(points.values()), mode=mode))
    return (
        Plot(title, new_figure(*traces, x="iteration", y=unit, xaxis_rangemode="tozero"))
        if traces
        else None
    )
