"""Detections by score and IoU."""

import textwrap

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from imbdet.analysis.figures.style import COLOR_MAP, WIDTH, label_panel, new_figure, plain
from imbdet.compare.score_iou import EDGES, LOCALISED, ScoreIoU, number

_MAX_COLUMNS = 3
# Characters above a panel.
_TITLE_WIDTH = 28


def draw_score_iou(numbers: ScoreIoU) -> Figure:
    """A panel for each run, all with the same colours."""
    num_rows = -(-len(numbers.counts) // _MAX_COLUMNS)
    num_columns = -(-len(numbers.counts) // num_rows)
    width = min(WIDTH, 1.0 + 2.4 * num_columns)
    figure = new_figure(2.7 * num_rows, width, layout="compressed")
    panels = figure.subplots(num_rows, num_columns, squeeze=False)
    norm = LogNorm(1, max(2, *(counts.max() for counts in numbers.counts.values())))
    for axes, (run, counts) in zip(panels.flat, numbers.counts.items(), strict=False):
        shown = np.ma.masked_equal(counts.T, 0)
        mesh = axes.pcolormesh(EDGES, EDGES, shown, cmap=COLOR_MAP, norm=norm)
        mesh.set_rasterized(True)
        axes.axhline(LOCALISED, color="black", linewidth=0.8, linestyle=":")
        axes.set(aspect="equal", xlabel="score")
        every, localised = map(number, numbers.correlations[run])
        name = "\n".join(textwrap.wrap(run, _TITLE_WIDTH))
        title = f"{plain(name)}\nrank correlation {every};\nfrom IoU {LOCALISED:g} on {localised}"
        label_panel(axes, title)
    for axes in panels[:, 0]:
        axes.set_ylabel("IoU with the nearest\nobject of the class")
    for axes in panels.flat[len(numbers.counts) :]:
        axes.set_axis_off()
    bar = figure.colorbar(
        mesh,
        ax=panels,
        label="detections",
        ticks=LogLocator(subs=(1, 2, 5)),
        format="{x:,.0f}",
        shrink=0.8,
        pad=0.02,
    )
    bar.minorformatter = NullFormatter()
    return figure
