"""The effect of importance-based reweighting (ISR) on the scores: mean score by hierarchical rank.

Cao et al., "Prime Sample Attention in Object Detection", CVPR 2020,
https://arxiv.org/abs/1904.04821: prime samples come first, and should gain most.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from imbdet.drawing.run_styles import add_legend
from imbdet.drawing.style import label_panel, new_figure
from imbdet.figures.binned_scores import BinnedScores, bin_column, draw_binned_scores
from imbdet.figures.columns import NEGATIVE, POSITIVE
from imbdet.figures.part_files import PartReader
from imbdet.figures.study import NothingToShow, Study

# Ranks 0, 1, 2-3, 4-7, ..., 1024 and more.
EDGES = np.concatenate([[0], 2 ** np.arange(12)])
RANKINGS = {"positives": ("IoU-HLR", POSITIVE), "negatives": ("Score-HLR", NEGATIVE)}


@dataclass(frozen=True)
class ScoreByRank(Study):
    """Mean scores by hierarchical local rank, 0 first.

    Attributes:
        of_sign: scores of "positives" by IoU-HLR in image and class, and of "negatives" by
            Score-HLR in image; a sign without ranked candidates is left out.
    """

    name = "score_by_rank"
    title = "Scores by rank"
    caption = (
        "Prime samples stand at the left; with importance-based reweighting they should gain most."
    )

    of_sign: Mapping[str, BinnedScores]

    def table(self) -> pa.Table:
        """See :class:`Study`; a row for each sign, run and bin."""
        parts = [
            numbers.table().append_column("sign", pa.array([sign] * len(numbers.table())))
            for sign, numbers in self.of_sign.items()
        ]
        return pa.concat_tables(parts)

    def sentence(self) -> str:
        """See :class:`Study`."""
        parts = [
            f"the first {sign} of {RANKINGS[sign][0]} {numbers.describe(0)}"
            for sign, numbers in self.of_sign.items()
        ]
        left_out = "".join(f" No {sign} have a rank." for sign in RANKINGS.keys() - self.of_sign)
        return f"Change of the mean score: {'; '.join(parts)}.{left_out}"

    def draw(self) -> Figure:
        """Positives on the left, negatives on the right."""
        num_columns = len(self.of_sign)
        figure = new_figure(4.0, width=3.5 * num_columns)
        panels = figure.subplots(2, num_columns, sharex="col", squeeze=False)
        for i, (sign, scores) in enumerate(self.of_sign.items()):
            used = np.flatnonzero(np.any(list(scores.counts.values()), axis=0))[-1] + 1
            lows, highs = scores.edges[:-1], scores.edges[1:] - 1
            labels = [f"{a}" if a == b else f"{a}-{b}" for a, b in zip(lows, highs, strict=True)]
            labels[-1] = f"≥ {lows[-1]}"
            handles = draw_binned_scores(panels[:, i], scores, np.arange(used))
            panels[1, i].set_xticks(np.arange(used), labels[:used], rotation=45, ha="right")
            panels[1, i].set_xlabel(f"{RANKINGS[sign][0]}, 0 first")
            label_panel(panels[0, i], f"({'ab'[i]}) {sign}" if num_columns > 1 else sign)
        add_legend(figure, handles)
        return figure


def score_by_rank(runs: Mapping[str, PartReader]) -> ScoreByRank:
    """Average the scores by rank.

    Args:
        runs: tables of candidates by run, the baseline first.

    Raises:
        NothingToShow: no candidate has a rank.
    """
    of_sign = {}
    for sign, (_, label) in RANKINGS.items():
        numbers = bin_column(runs, "hierarchical_rank", label, EDGES)
        if numbers is not None:
            of_sign[sign] = numbers
    if not of_sign:
        raise NothingToShow("no candidate has a rank.")
    return ScoreByRank(of_sign)
