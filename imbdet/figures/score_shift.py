"""How far the scores of one image are shifted against those of another.

A ranking of each image by itself leaves open where its scores lie: all may be higher in one image
than in the next. But one threshold decides which detections of all images are kept, and AP ranks
them together. Chen et al., "Towards Accurate One-Stage Object Detection with AP-Loss", CVPR 2019,
https://arxiv.org/abs/1904.06373, sec. 3.3, therefore rank the images of a batch together.
"""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import torch
from matplotlib.figure import Figure
from torch import Tensor

from imbdet.drawing.style import DARK, LIGHT, MIDDLE, label_panel, new_figure
from imbdet.figures.entries import valid_entries
from imbdet.figures.study import NothingToShow, Study
from imbdet.ops.labels import positive_entries

# Edges of bins of logits; those beyond are counted in the outermost bins.
EDGES = np.linspace(-12, 12, 241)


@dataclass(frozen=True)
class ScoreShift(Study):
    """Thresholds that separate the positive entries of I images from the negative ones.

    Attributes:
        thresholds: (I,) logits with the highest F1 score of the image, the harmonic mean of
            precision and recall; of several the one in the middle.
        own: (I,) F1 scores of the images at their own thresholds.
        common: (I,) F1 scores of the images at the common threshold.
        common_threshold: logit with the highest F1 score of all images' entries together.
    """

    name = "score_shift"
    title = "Score shift between images"
    caption = (
        "The threshold that is best for each image, and what one for all costs: scores of "
        "different images are comparable as far as the thresholds agree."
    )

    thresholds: np.ndarray
    own: np.ndarray
    common: np.ndarray
    common_threshold: float

    def table(self) -> pa.Table:
        """See :class:`Study`; a row for each image."""
        return pa.table(
            {
                "threshold": self.thresholds,
                "f1_at_own": self.own,
                "f1_at_common": self.common,
                "common_threshold": np.full(len(self.thresholds), self.common_threshold),
            }
        )

    def sentence(self) -> str:
        """See :class:`Study`."""
        mean, deviation = self.thresholds.mean(), self.thresholds.std()
        return (
            f"The best threshold of an image lies at a logit of {mean:.2f} ± {deviation:.2f} "
            f"(standard deviation over the images); their mean F1 score is {self.own.mean():.3f} "
            f"there, and {self.common.mean():.3f} at one threshold for all, "
            f"{self.common_threshold:.2f}."
        )

    def draw(self) -> Figure:
        """A histogram of the thresholds on the left, the images' F1 scores on the right."""
        figure = new_figure(2.9)
        left, right = figure.subplots(1, 2)
        edges = np.arange(np.floor(self.thresholds.min()), self.thresholds.max() + 0.5, 0.25)
        left.hist(self.thresholds, edges, color=LIGHT)
        left.axvline(
            self.common_threshold, color=MIDDLE, linestyle="--", label="best for all together"
        )
        left.set(xlabel="best threshold of an image (logit)", ylabel="images")
        left.set_ylim(0, 1.2 * left.get_ylim()[1])  # room for the legend
        left.grid(axis="y")
        left.legend()
        label_panel(left, f"(a) {self.thresholds.mean():.2f} ± {self.thresholds.std():.2f}")
        right.plot([0, 1], [0, 1], color="black", linewidth=0.8)
        right.plot(self.common, self.own, "o", color=DARK, markersize=3, alpha=0.6, mew=0)
        right.set(
            xlim=(0, 1), ylim=(0, 1), xlabel="F1 at the threshold for all", ylabel="F1 at its own"
        )
        right.grid()
        label_panel(
            right, f"(b) the images: on average {self.common.mean():.3f}, {self.own.mean():.3f}"
        )
        return figure


@dataclass
class ImageScores:
    """Gathers the scores of the entries of each image, one entry for each candidate and class.

    Attributes:
        counts: for each image, (2, B) int64 numbers of negatives and positives by their logit.
    """

    counts: list[np.ndarray] = field(default_factory=list)

    def add(self, scores: Tensor, gt_labels: Tensor) -> None:
        """Add the entries of an image, unless it has no positives, and so no threshold.

        Args:
            scores: (M, K) scores of the classes.
            gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        """
        scores, labels = valid_entries(scores, gt_labels)
        positives = positive_entries(labels, scores.shape[1])
        bins = torch.bucketize(scores.logit(), torch.from_numpy(EDGES[1:-1]).to(scores.device))
        every, right = (
            x.flatten().bincount(minlength=len(EDGES) - 1).cpu().numpy()
            for x in (bins, bins[positives])
        )
        if right.any():
            self.counts.append(np.stack([every - right, right]))

    def result(self) -> ScoreShift:
        """The gathered numbers.

        Raises:
            NothingToShow: there are no positives.
        """
        if not self.counts:
            raise NothingToShow("there are no positives to separate from negatives.")
        counts = np.stack(self.counts)
        scores = f1_scores(counts)
        common = _middle_of_best(f1_scores(counts.sum(axis=0)))
        return ScoreShift(
            thresholds=EDGES[_middle_of_best(scores)],
            own=scores.max(axis=1),
            common=scores[:, common],
            common_threshold=float(EDGES[common]),
        )


def f1_scores(counts: np.ndarray) -> np.ndarray:
    """(..., B) F1 scores if all entries from a bin on are taken.

    Args:
        counts: (..., 2, B) numbers of negatives and positives in each bin.
    """
    taken = counts[..., ::-1].cumsum(axis=-1)[..., ::-1]
    false, true = taken[..., 0, :], taken[..., 1, :]
    return 2 * true / (true[..., :1] + true + false)


def _middle_of_best(scores: np.ndarray) -> np.ndarray:
    """(...) bins of the highest of (..., B) scores; of several the one in the middle."""
    is_best = scores == scores.max(axis=-1, keepdims=True)
    return (is_best.cumsum(axis=-1) > is_best.sum(axis=-1, keepdims=True) / 2).argmax(axis=-1)
