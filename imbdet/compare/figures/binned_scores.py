"""Mean scores by rank or by IoU, with the change to the baseline below."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from imbdet.analysis.figures.style import label_panel, new_figure, short
from imbdet.compare.binned_scores import BinnedScores
from imbdet.compare.figures.style import add_legend, run_lines
from imbdet.compare.score_by_iou import ScoreByIoU
from imbdet.compare.score_by_rank import RANKINGS, ScoreByRank


def draw_score_by_rank(numbers: ScoreByRank) -> Figure:
    """Positives on the left, negatives on the right."""
    num_columns = len(numbers.of_sign)
    figure = new_figure(4.0, width=3.5 * num_columns)
    panels = figure.subplots(2, num_columns, sharex="col", squeeze=False)
    for i, (sign, scores) in enumerate(numbers.of_sign.items()):
        used = np.flatnonzero(np.any(list(scores.counts.values()), axis=0))[-1] + 1
        lows, highs = scores.edges[:-1], scores.edges[1:] - 1
        labels = [f"{a}" if a == b else f"{a}-{b}" for a, b in zip(lows, highs, strict=True)]
        labels[-1] = f"≥ {lows[-1]}"
        handles = _draw(panels[:, i], scores, np.arange(used))
        panels[1, i].set_xticks(np.arange(used), labels[:used], rotation=45, ha="right")
        panels[1, i].set_xlabel(f"{RANKINGS[sign][0]}, 0 first")
        label_panel(panels[0, i], f"({'ab'[i]}) {sign}" if num_columns > 1 else sign)
    add_legend(figure, handles)
    return figure


def draw_score_by_iou(numbers: ScoreByIoU) -> Figure:
    """The positives."""
    figure = new_figure(4.0, width=4.2)
    panels = figure.subplots(2, 1, sharex=True)
    scores = numbers.of_positives
    handles = _draw(panels, scores, (scores.edges[:-1] + scores.edges[1:]) / 2)
    panels[1].set(xlabel="IoU of a positive after regression", xlim=(0, 1))
    label_panel(panels[0], "positives")
    add_legend(figure, handles)
    return figure


def _draw(panels: np.ndarray, scores: BinnedScores, places: np.ndarray) -> dict[str, Line2D]:
    """Mean scores in the upper panel, changes in the lower one. Returns the lines by run."""
    top, bottom = panels
    lines = run_lines(scores.means)
    baseline = next(iter(lines))
    handles = {run: _plot(top, places, scores.means[run], line) for run, line in lines.items()}
    for run, change in scores.differences.items():
        _plot(bottom, places, change, lines[run])
    bottom.axhline(0, color="black", linewidth=0.8)
    top.set(ylabel="mean score", ylim=(0, None))
    bottom.set(ylabel=f"minus {short(baseline)}")
    for axes in panels:
        axes.grid()
    return handles


def _plot(axes: Axes, places: np.ndarray, values: np.ndarray, line: dict) -> Line2D:
    return axes.plot(places, values[: len(places)], marker="o", markersize=3.5, **line)[0]
