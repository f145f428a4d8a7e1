"""Whether rare classes are underrated: the scores of positives for their own class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from imbdet.drawing.style import DARK, MIDDLE, new_figure
from imbdet.figures.averages import mean, ratio
from imbdet.figures.class_frequency import Frequencies, describe_by_frequency, draw_by_frequency
from imbdet.figures.columns import Chunks
from imbdet.figures.study import NothingToShow, Study


@dataclass(frozen=True)
class ClassScores(Study):
    """Positives of K classes, without the appended ground truth.

    Attributes:
        classes: (K,) names, the most frequent one first.
        frequencies: frequencies of the classes.
        positives: (K,) int64 numbers of positives among all candidates.
        score_sums: (K,) sums of their scores for their own class.
    """

    name = "class_scores"
    title = "Scores of each class"
    caption = (
        "Each mark is a class: the mean score that its positives get for it, by its frequency. "
        "Marks that rise to the right say that rare classes are underrated, and one "
        "threshold for all classes would lose them first. The dashed line is the mean of all "
        "positives."
    )

    classes: Sequence[str]
    frequencies: Frequencies
    positives: np.ndarray
    score_sums: np.ndarray

    @property
    def mean_scores(self) -> np.ndarray:
        """(K,) mean scores in [0, 1]; NaN of a class without positives."""
        return ratio(self.score_sums, self.positives)

    def table(self) -> pa.Table:
        """See :class:`Study`; a row for each class."""
        return pa.table(
            {
                "class": list(self.classes),
                self.frequencies.column: self.frequencies.counts,
                "positives": self.positives,
                "mean_score": self.mean_scores,
            }
        )

    def sentence(self) -> str:
        """See :class:`Study`."""
        return (
            "The median over classes of the mean score of their positives is "
            f"{describe_by_frequency(self.frequencies, self.mean_scores)}."
        )

    def draw(self) -> Figure:
        """Mean scores over the frequency."""
        figure = new_figure(3.2, width=5.0)
        axes = figure.add_subplot()
        draw_by_frequency(axes, self.classes, self.frequencies, self.mean_scores, color=DARK)
        of_all = mean(self.score_sums.sum(), self.positives.sum())
        axes.axhline(of_all, color=MIDDLE, linestyle="--", linewidth=1.2)
        axes.set(ylim=(0, 1), ylabel="mean score of positives")
        return figure


def class_scores(
    positives: Chunks, frequencies: Frequencies, classes: Sequence[str]
) -> ClassScores:
    """Average the scores of positives, class by class.

    Args:
        positives: chunks with "class", "score" and "is_gt" of each positive.
        frequencies: frequencies of the K classes.
        classes: (K,) names.

    Raises:
        NothingToShow: there are no positives beside the appended ground truth.
    """
    counts, sums = np.zeros(len(classes), dtype=np.int64), np.zeros(len(classes))
    for chunk in positives:
        is_own = ~chunk["is_gt"].astype(bool)
        of_own = chunk["class"][is_own].astype(np.int64)  # integers, of a column with nulls
        counts += np.bincount(of_own, minlength=len(classes))
        sums += np.bincount(of_own, chunk["score"][is_own], minlength=len(classes))
    if not counts.any():
        raise NothingToShow("there are no positives with a score of the detector's own.")
    frequencies, order = frequencies.frequent_first()
    return ClassScores([classes[k] for k in order], frequencies, counts[order], sums[order])
