"""The ranks of the positives in their image, and the step that compares scores."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from imbdet.drawing.style import BARS, LINES, label_panel, new_figure
from imbdet.figures.averages import mean
from imbdet.figures.columns import Chunks
from imbdet.figures.study import NothingToShow, Study
from imbdet.kernels.steps import Steps
from imbdet.ops.labels import positive_entries
from imbdet.wording import percent

DELTAS = (0.0, 0.25, 0.5, 1.0, 2.0)


def negatives_above(scores: Tensor, gt_labels: Tensor) -> Tensor:
    """Count the negatives whose score is at or above that of each positive.

    Args:
        scores: (M, K) scores of the classes: a sample has K entries, and all but those of the
            ground-truth classes are negatives.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.

    Returns:
        (P,) int64, FP of the ranking losses for the hard step.
    """
    num_classes = scores.shape[1]
    rows, classes = positive_entries(gt_labels, num_classes)
    is_negative = (gt_labels >= 0)[:, None].repeat(1, num_classes)
    is_negative[rows, classes] = False
    negatives = scores[is_negative].sort().values
    return len(negatives) - torch.searchsorted(negatives, scores[rows, classes])


def step(x: np.ndarray, delta: float) -> np.ndarray:
    """H(x) of the ranking losses, for differences of scores x of any shape."""
    steps = Steps(torch.zeros(1), delta)
    return steps.sum_over_positives(torch.ones(1)).at(torch.as_tensor(x)).numpy()


@dataclass(frozen=True)
class RankHistogram(Study):
    """Positives by the number of negatives above them.

    Attributes:
        edges: (B + 1,) int64: bin i counts the positives with edges[i] <= negatives above <
            edges[i + 1]; 0, 1, 2, 4, 8, ...
        every: (B,) int64 numbers of all positives.
        best: (B,) int64 numbers of each object's best positive by IoU after regression.
        num_appended: number of positives that are ground truth appended to the proposals, as in
            training; often they are the best ones.
    """

    name = "ranks"
    title = "Ranks of the positives"
    caption = (
        "Mass at the left is a good ranking. The best box of each object is what becomes a "
        "detection, so its bars matter most."
    )

    edges: np.ndarray
    every: np.ndarray
    best: np.ndarray
    num_appended: int = 0

    def table(self) -> pa.Table:
        """See :class:`Study`."""
        return pa.table(
            {
                "negatives_from": self.edges[:-1],
                "negatives_below": self.edges[1:],
                "positives": self.every,
                "best_of_object": self.best,
            }
        )

    def sentence(self) -> str:
        """See :class:`Study`."""
        every, best = (percent(mean(h[0], h.sum())) for h in (self.every, self.best))
        appended = (
            f" The appended ground truth is among them: {self.num_appended:,} positives."
            if self.num_appended
            else ""
        )
        return (
            f"{every} of all positives and {best} of each object's best stand above every negative "
            f"of their image.{appended}"
        )

    def draw(self) -> Figure:
        """The step on the left, the histogram on the right."""
        figure = new_figure(2.8)
        left, right = figure.subplots(1, 2, width_ratios=[2, 3])
        _draw_steps(left)
        _draw_histogram(right, self)
        return figure


def rank_histogram(positives: Chunks) -> RankHistogram:
    """Count the positives by the negatives above them.

    Args:
        positives: chunks with "negatives_above", "local_rank" (0 = best of its object) and "is_gt".

    Raises:
        NothingToShow: there are no positives.
    """
    edges = np.concatenate([[0], 2 ** np.arange(33, dtype=np.int64)])
    every, best = np.zeros((2, len(edges) - 1), dtype=np.int64)
    num_appended = 0
    for chunk in positives:
        bins = np.searchsorted(edges, chunk["negatives_above"], side="right") - 1
        every += np.bincount(bins, minlength=len(every))
        best += np.bincount(bins[chunk["local_rank"] == 0], minlength=len(best))
        num_appended += int(chunk["is_gt"].sum())
    if not every.any():
        raise NothingToShow("there are no positives to rank.")
    used = np.flatnonzero(every)[-1] + 1
    return RankHistogram(edges[: used + 1], every[:used], best[:used], num_appended)


def _draw_steps(axes: Axes) -> None:
    x = np.linspace(-2.5, 2.5, 1001)
    for delta, style in zip(DELTAS, LINES, strict=True):
        axes.plot(x, step(x, delta), label=f"{delta:g}", **style)
    axes.set(xlabel="logit of k - logit of i", ylabel="H: how far k stands above i")
    axes.grid()
    axes.legend(title="δ", loc="upper left")
    label_panel(axes, "(a) the step of the ranking losses")


def _draw_histogram(axes: Axes, numbers: RankHistogram) -> None:
    lows, highs = numbers.edges[:-1], numbers.edges[1:] - 1
    places = np.arange(len(lows))
    for i, (name, counts) in enumerate(
        {"all positives": numbers.every, "best of each object": numbers.best}.items()
    ):
        share = counts / max(counts.sum(), 1)
        axes.bar(places + 0.4 * i - 0.2, share, 0.4, label=name, **BARS[i])
    labels = [f"{a:,}" if a == b else f"≤ {b:,}" for a, b in zip(lows, highs, strict=True)]
    axes.set_xticks(places, labels, rotation=45, ha="right")
    axes.set(xlabel="negatives of its image at or above the positive", ylabel="share")
    axes.grid(axis="y")
    axes.set_ylim(0, 1.2 * axes.get_ylim()[1])  # room for the legend
    axes.legend(loc="upper center", ncols=2)
    label_panel(axes, "(b) where positives stand")
