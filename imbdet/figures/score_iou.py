"""How well the scores agree with the IoUs of the boxes.

Scores decide which of several boxes survives NMS and in which order AP takes them. A detector whose
scores follow the IoU keeps the better boxes.
"""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from imbdet.drawing.style import COLOR_MAP, WIDTH, label_panel, new_figure, plain
from imbdet.evaluation.matches import ClassMatches
from imbdet.figures.study import NothingToShow, Study

_MAX_COLUMNS = 3
# Characters of a line above a panel.
_TITLE_WIDTH = 28

EDGES = np.linspace(0, 1, 26)
# From this IoU on a detection is on its object.
LOCALISED = 0.5


@dataclass(frozen=True)
class ScoreIoU(Study):
    """Detections by score and by IoU with the nearest object of their class, crowds aside.

    Attributes:
        counts: by run, the baseline first, (25, 25) int64 numbers of detections; scores are rows,
            IoUs columns.
        correlations: by run, Spearman's rank correlation over all detections, and over those with
            an IoU of 0.5 or more; NaN where it is not defined.
    """

    name = "score_iou"
    title = "Do scores tell how well boxes fit?"
    caption = (
        "Each cell is the number of detections with that score and that IoU, on a logarithmic "
        "scale of colours that all runs share. The more the scores follow the IoU, the better "
        "are the boxes that NMS keeps."
    )

    counts: Mapping[str, np.ndarray]
    correlations: Mapping[str, tuple[float, float]]

    def table(self) -> pa.Table:
        """See :class:`Study`; a row for each bin that is not empty."""
        parts = []
        for run, counts in self.counts.items():
            i, j = np.nonzero(counts)
            ends = {
                "score_from": EDGES[i],
                "score_to": EDGES[i + 1],
                "iou_from": EDGES[j],
                "iou_to": EDGES[j + 1],
            }
            parts.append(
                pa.table({"run": np.repeat(run, len(i)), **ends, "detections": counts[i, j]})
            )
        return pa.concat_tables(parts)

    def sentence(self) -> str:
        """See :class:`Study`."""
        parts = [
            f"{run} {number(every)} / {number(localised)}"
            for run, (every, localised) in self.correlations.items()
        ]
        return (
            "Rank correlation of score and IoU over all detections / over those with an IoU of "
            f"{LOCALISED} or more: {'; '.join(parts)}."
        )

    def draw(self) -> Figure:
        """A panel for each run, all with the same colours."""
        num_rows = -(-len(self.counts) // _MAX_COLUMNS)
        num_columns = -(-len(self.counts) // num_rows)
        width = min(WIDTH, 1.0 + 2.4 * num_columns)
        figure = new_figure(2.7 * num_rows, width, layout="compressed")
        panels = figure.subplots(num_rows, num_columns, squeeze=False)
        norm = LogNorm(1, max(2, *(counts.max() for counts in self.counts.values())))
        for axes, (run, counts) in zip(panels.flat, self.counts.items(), strict=False):
            shown = np.ma.masked_equal(counts.T, 0)
            mesh = axes.pcolormesh(EDGES, EDGES, shown, cmap=COLOR_MAP, norm=norm)
            mesh.set_rasterized(True)
            axes.axhline(LOCALISED, color="black", linewidth=0.8, linestyle=":")
            axes.set(aspect="equal", xlabel="score")
            every, localised = map(number, self.correlations[run])
            name = "\n".join(textwrap.wrap(run, _TITLE_WIDTH))
            title = (
                f"{plain(name)}\nrank correlation {every};\nfrom IoU {LOCALISED:g} on {localised}"
            )
            label_panel(axes, title)
        for axes in panels[:, 0]:
            axes.set_ylabel("IoU with the nearest\nobject of the class")
        for axes in panels.flat[len(self.counts) :]:
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


def score_iou(runs: Mapping[str, Mapping[str, ClassMatches]]) -> ScoreIoU:
    """Count the detections of all classes.

    Args:
        runs: matches of each class by run, the baseline first.

    Raises:
        NothingToShow: no run has detections.
    """
    counts, correlations = {}, {}
    for run, by_class in runs.items():
        scores = np.concatenate([found.scores for found in by_class.values()])
        ious = np.concatenate([found.ious for found in by_class.values()])
        counts[run] = np.histogram2d(scores.clip(0, 1), ious, [EDGES, EDGES])[0].astype(np.int64)
        is_localised = ious >= LOCALISED
        correlations[run] = (
            rank_correlation(scores, ious),
            rank_correlation(scores[is_localised], ious[is_localised]),
        )
    if not any(of_run.any() for of_run in counts.values()):
        raise NothingToShow("no run has detections.")
    return ScoreIoU(counts, correlations)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation of two (n,), with mean ranks for ties; NaN if all are equal."""
    ranks = [_mean_ranks(values) for values in (first, second)]
    if len(first) < 2 or any(np.ptp(values) == 0 for values in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    low, high = (
        pc.rank(pa.array(values), "ascending", tiebreaker=end).to_numpy() for end in ("min", "max")
    )
    return (low + high) / 2


def number(value: float) -> str:
    """A correlation as text; a dash for NaN."""
    return "-" if np.isnan(value) else f"{value:.2f}"
