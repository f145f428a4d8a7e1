"""The effect of classification-aware regression (CARL) on the scores: mean score by IoU.

Cao et al., "Prime Sample Attention in Object Detection", CVPR 2020,
https://arxiv.org/abs/1904.04821: boxes that fit should score higher, and others lower.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from imbdet.drawing.run_styles import add_legend
from imbdet.drawing.style import label_panel, new_figure
from imbdet.figures.binned_scores import BinnedScores, bin_column, draw_binned_scores
from imbdet.figures.columns import POSITIVE
from imbdet.figures.part_files import PartReader
from imbdet.figures.study import NothingToShow, Study

EDGES = np.arange(11) / 10


@dataclass(frozen=True)
class ScoreByIoU(Study):
    """Mean scores of the positives by IoU after regression, in bins of 0.1."""

    name = "score_by_iou"
    title = "Scores by IoU"
    caption = "With classification-aware regression the change should rise to the right."

    of_positives: BinnedScores

    def table(self) -> pa.Table:
        """See :class:`Study`."""
        return self.of_positives.table()

    def sentence(self) -> str:
        """See :class:`Study`."""
        parts = [
            f"{self.of_positives.describe(i)} at an IoU of {EDGES[i]:g} to {EDGES[i + 1]:g}"
            for i in (5, 9)
        ]
        return f"Change of the positives' mean score: {'; '.join(parts)}."

    def draw(self) -> Figure:
        """Mean scores of the positives, and their changes."""
        figure = new_figure(4.0, width=4.2)
        panels = figure.subplots(2, 1, sharex=True)
        scores = self.of_positives
        handles = draw_binned_scores(panels, scores, (scores.edges[:-1] + scores.edges[1:]) / 2)
        panels[1].set(xlabel="IoU of a positive after regression", xlim=(0, 1))
        label_panel(panels[0], "positives")
        add_legend(figure, handles)
        return figure


def score_by_iou(runs: Mapping[str, PartReader]) -> ScoreByIoU:
    """Average the scores of the positives by IoU.

    Args:
        runs: tables of candidates by run, the baseline first.

    Raises:
        NothingToShow: there are no positives.
    """
    numbers = bin_column(runs, "pred_iou", POSITIVE, EDGES)
    if numbers is None:
        raise NothingToShow("there are no positives.")
    return ScoreByIoU(numbers)
