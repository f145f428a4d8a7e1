"""How the scores of positives and of negatives are distributed, and how DR loss weighs them.

Qian et al., "DR Loss: Improving Object Detection by Distributional Ranking", CVPR 2020,
https://arxiv.org/abs/1907.10156

The loss depends on two numbers of an image: P+ and P-, the expectations of its positives' and
negatives' scores p under the distributions q = softmax(-p / lambda+) and softmax(p / lambda-).
These move the weight from the easy entries, which are most, to those at the decision boundary.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from imbdet.drawing.style import LINES, label_panel, new_figure
from imbdet.figures.columns import SIGNS
from imbdet.figures.entries import valid_entries
from imbdet.figures.study import NothingToShow, Study
from imbdet.ops.labels import positive_entries
from imbdet.wording import percent

EXPECTATIONS = {"positives": "P⁺", "negatives": "P⁻"}

NUM_BINS = 40
EDGES = np.arange(NUM_BINS + 1) / NUM_BINS


@dataclass(frozen=True)
class ScoreDistributions(Study):
    """Entries, one for each candidate and class, in 40 equal bins of their score.

    Attributes:
        counts: by sign, "positives" and "negatives", (40,) int64 numbers of entries.
        weights: by sign, (40,) mean over the I images of the sum of q in the bin; sums to 1.
        expectations: by sign, (I,) P+ and P-.
        margin: difference by which P+ has to exceed P-.
    """

    name = "distributions"
    title = "Scores as DR loss weighs them"
    caption = (
        "Nearly all entries are easy. DR loss weighs the positives with low and the negatives "
        "with high scores, and compares the expectations of both, P⁺ and P⁻: apart by the "
        "margin, they cost little more."
    )

    counts: Mapping[str, np.ndarray]
    weights: Mapping[str, np.ndarray]
    expectations: Mapping[str, np.ndarray]
    margin: float

    @property
    def shares(self) -> dict[str, np.ndarray]:
        """By sign, (40,) share of the entries in the bin."""
        return {sign: counts / counts.sum() for sign, counts in self.counts.items()}

    @property
    def means(self) -> dict[str, float]:
        """P+ and P- by sign, on average over the images."""
        return {sign: float(values.mean()) for sign, values in self.expectations.items()}

    def table(self) -> pa.Table:
        """See :class:`Study`."""
        weights = {f"weight_of_{sign}": values for sign, values in self.weights.items()}
        means = {f"mean_of_{sign}": np.full(NUM_BINS, mean) for sign, mean in self.means.items()}
        edges = {"score_from": EDGES[:-1], "score_to": EDGES[1:]}
        return pa.table({**edges, **self.counts, **weights, **means})

    def sentence(self) -> str:
        """See :class:`Study`."""
        pos, neg = self.expectations["positives"], self.expectations["negatives"]
        return (
            f"Of the hardest scores, as DR loss weighs them, the positives' expectation P+ is "
            f"{pos.mean():.2f} and the negatives' P- {neg.mean():.2f}; P+ is by the margin "
            f"{self.margin:g} or more above P- in {percent((pos - neg >= self.margin).mean())} of "
            f"the images."
        )

    def draw(self) -> Figure:
        """The shares of the entries on the left, their weights with P+ and P- on the right."""
        figure = new_figure(2.9)
        left, right = figure.subplots(1, 2)
        _draw_stairs(left, self.shares)
        left.set(yscale="log", ylabel="share of the entries")
        label_panel(left, "(a) as they are")
        _draw_stairs(right, self.weights)
        right.set(ylabel="share of the weight of an image")
        means = self.means
        for (sign, name), style in zip(EXPECTATIONS.items(), LINES, strict=False):
            right.axvline(means[sign], color=style["color"], linewidth=0.8)
            right.annotate(
                name,
                (means[sign], 1),
                xycoords=("data", "axes fraction"),
                xytext=(2, -2),
                textcoords="offset points",
                va="top",
                color=style["color"],
            )
        values = ", ".join(f"{name} {means[sign]:.2f}" for sign, name in EXPECTATIONS.items())
        label_panel(right, f"(b) as DR loss weighs them: {values}")
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return figure


@dataclass
class ScoreWeights:
    """Gathers scores and their weights in DR loss, image by image.

    Attributes:
        lambda_pos: temperature of the positives' distribution, > 0.
        lambda_neg: temperature of the negatives' distribution, > 0.
        margin: see :class:`ScoreDistributions`.
        counts: by sign, (40,) int64 numbers of entries.
        weights: by sign, (40,) sums of q over the images.
        expectations: by sign, P+ or P- of each image.
    """

    lambda_pos: float
    lambda_neg: float
    margin: float
    counts: dict[str, np.ndarray] = field(init=False)
    weights: dict[str, np.ndarray] = field(init=False)
    expectations: dict[str, list[float]] = field(init=False)

    def __post_init__(self):
        self.counts = {sign: np.zeros(NUM_BINS, dtype=np.int64) for sign in SIGNS}
        self.weights = {sign: np.zeros(NUM_BINS) for sign in SIGNS}
        self.expectations = {sign: [] for sign in SIGNS}

    def add(self, scores: Tensor, gt_labels: Tensor) -> None:
        """Add the entries of an image, unless it has no positives or no negatives.

        Args:
            scores: (M, K) scores of the classes.
            gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        """
        scores, labels = valid_entries(scores, gt_labels)
        is_negative = scores.new_ones(scores.shape).bool()
        is_negative[positive_entries(labels, scores.shape[1])] = False
        pos, neg = scores[~is_negative], scores[is_negative]
        if not len(pos) or not len(neg):
            return
        self._add("positives", pos, (-pos / self.lambda_pos).softmax(dim=0))
        self._add("negatives", neg, (neg / self.lambda_neg).softmax(dim=0))

    def _add(self, sign: str, scores: Tensor, weights: Tensor) -> None:
        bins = (scores * NUM_BINS).long().clamp_(0, NUM_BINS - 1)
        self.counts[sign] += bins.bincount(minlength=NUM_BINS).cpu().numpy()
        self.weights[sign] += bins.bincount(weights, minlength=NUM_BINS).cpu().numpy()
        self.expectations[sign].append(float(scores @ weights))

    def result(self) -> ScoreDistributions:
        """The gathered numbers.

        Raises:
            NothingToShow: no image has both positives and negatives.
        """
        num_images = len(self.expectations["positives"])
        if not num_images:
            raise NothingToShow("no image has both positives and negatives to rank.")
        return ScoreDistributions(
            counts=self.counts,
            weights={sign: weights / num_images for sign, weights in self.weights.items()},
            expectations={sign: np.array(values) for sign, values in self.expectations.items()},
            margin=self.margin,
        )


def _draw_stairs(axes: Axes, series: Mapping[str, np.ndarray]) -> None:
    for (sign, values), style in zip(series.items(), LINES, strict=False):
        axes.stairs(values, EDGES, label=sign, **style)
    axes.set(xlim=(0, 1), xlabel="score of a candidate for a class")
    axes.grid()
