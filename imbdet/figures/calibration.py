"""The calibration of scores: the share of entries with a score that are right."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from torch import Tensor

from imbdet.drawing.style import DARK, LIGHT, MIDDLE, label_panel, new_figure
from imbdet.figures.averages import mean, ratio
from imbdet.figures.entries import valid_entries
from imbdet.figures.study import NothingToShow, Study
from imbdet.ops.labels import positive_entries
from imbdet.wording import percent

NUM_BINS = 20


@dataclass(frozen=True)
class Calibration(Study):
    """Entries, one for each candidate and class, in 20 equal bins of their score.

    Attributes:
        counts: (20,) int64 numbers of entries.
        positives: (20,) int64 numbers of entries whose class is that of the candidate's object.
        score_sums: (20,) sums of the scores.
        score_thresh: score threshold of the test; None where detections have another score, that
            with a quality branch.
        num_kept: number of entries with a score above ``score_thresh``.
        num_kept_positives: number of positives among them.
    """

    name = "calibration"
    title = "Calibration"
    caption = (
        "Of the entries with some score, how many are right. Below the diagonal the scores are "
        "too high, above it too low."
    )

    counts: np.ndarray
    positives: np.ndarray
    score_sums: np.ndarray
    score_thresh: float | None
    num_kept: int
    num_kept_positives: int

    @property
    def shares(self) -> np.ndarray:
        """(20,) share of positives; NaN in an empty bin."""
        return ratio(self.positives, self.counts)

    @property
    def mean_scores(self) -> np.ndarray:
        """(20,) mean score; NaN in an empty bin."""
        return ratio(self.score_sums, self.counts)

    @property
    def expected_error(self) -> float:
        """Mean |share of positives - mean score| over the entries above the lowest bin.

        The lowest bin has nearly all entries and would hide the others; NaN without others.
        """
        errors = np.abs(self.positives - self.score_sums)[1:].sum()
        return mean(errors, self.counts[1:].sum())

    def table(self) -> pa.Table:
        """See :class:`Study`."""
        edges = np.arange(NUM_BINS + 1) / NUM_BINS
        return pa.table(
            {
                "score_from": edges[:-1],
                "score_to": edges[1:],
                "entries": self.counts,
                "positives": self.positives,
                "mean_score": self.mean_scores,
                "share_of_positives": self.shares,
            }
        )

    def sentence(self) -> str:
        """See :class:`Study`."""
        if not self.counts[1:].any():
            return f"No entry has a score of {1 / NUM_BINS:g} or more."
        said = f"Scores of {1 / NUM_BINS:g} or more are off by {self.expected_error:.3f} on average"
        if self.score_thresh is None:
            return f"{said}. The test multiplies them by the quality, which is not looked at here."
        share = mean(self.num_kept_positives, self.num_kept)
        return (
            f"{said}; {percent(share)} of the {self.num_kept:,} entries above the test's threshold "
            f"{self.score_thresh:g} are right."
        )

    def draw(self) -> Figure:
        """Share of right entries by score above, number of entries by score below."""
        figure = new_figure(4.7, width=4.2)
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        edges = np.arange(NUM_BINS + 1) / NUM_BINS
        top.stairs(np.nan_to_num(self.shares), edges, fill=True, color=LIGHT, label="share right")
        top.plot(
            [0, 1], [0, 1], color="black", linewidth=0.8, label="a score that means what it says"
        )
        top.plot(
            self.mean_scores,
            self.shares,
            "o",
            color=DARK,
            markersize=4,
            label="at the mean score",
        )
        top.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of right entries")
        # A line, since bars have no honest length where the axis has no zero.
        bottom.stairs(self.counts, edges, baseline=None, color=DARK)
        bottom.set(yscale="log", ylabel="entries", xlabel="score of a candidate for a class")
        for axes in (top, bottom):
            axes.grid()
            if self.score_thresh is not None:
                axes.axvline(
                    self.score_thresh, color=MIDDLE, linestyle="--", label="threshold of the test"
                )
        figure.legend(*top.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        error = self.expected_error
        label_panel(
            top,
            f"no score of {1 / NUM_BINS:g} or more"
            if np.isnan(error)
            else f"mean error of scores of {1 / NUM_BINS:g} or more: {error:.3f}",
        )
        return figure


@dataclass
class EntryScores:
    """Gathers the scores of entries, image by image.

    Attributes:
        score_thresh: see :class:`Calibration`.
        counts: (2, 20) int64 numbers of negative and positive entries.
        score_sums: (20,) sums of the scores of all entries.
        num_kept: (2,) int64 numbers of negative and positive entries above the threshold.
    """

    score_thresh: float | None
    counts: np.ndarray = field(default_factory=lambda: np.zeros((2, NUM_BINS), dtype=np.int64))
    score_sums: np.ndarray = field(default_factory=lambda: np.zeros(NUM_BINS))
    num_kept: np.ndarray = field(default_factory=lambda: np.zeros(2, dtype=np.int64))

    def add(self, scores: Tensor, gt_labels: Tensor) -> None:
        """Add the entries of some samples.

        Args:
            scores: (M, K) scores of the classes.
            gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        """
        scores, labels = valid_entries(scores, gt_labels)
        positives = positive_entries(labels, scores.shape[1])
        bins = (scores * NUM_BINS).long().clamp_(0, NUM_BINS - 1)
        every, right = _sums(bins), _sums(bins[positives])
        self.counts += np.stack([every - right, right])
        self.score_sums += _sums(bins, scores)
        if self.score_thresh is None:
            return
        is_kept = scores > self.score_thresh
        kept, kept_right = (int(mask.sum()) for mask in (is_kept, is_kept[positives]))
        self.num_kept += np.array([kept - kept_right, kept_right])

    def result(self) -> Calibration:
        """The gathered numbers.

        Raises:
            NothingToShow: there are no entries.
        """
        counts = self.counts.sum(axis=0)
        if not counts.any():
            raise NothingToShow("there are no scores.")
        return Calibration(
            counts=counts,
            positives=self.counts[1],
            score_sums=self.score_sums,
            score_thresh=self.score_thresh,
            num_kept=int(self.num_kept.sum()),
            num_kept_positives=int(self.num_kept[1]),
        )


def _sums(bins: Tensor, values: Tensor | None = None) -> np.ndarray:
    """(20,) sums of the values in each bin, or the numbers of ``bins``; both have any shape."""
    values = None if values is None else values.flatten()
    return bins.flatten().bincount(values, minlength=NUM_BINS).cpu().numpy()
