"""How the gradients of a class's positives and of its negatives are balanced.

Tan et al., "Equalization Loss v2: A New Gradient Balance Approach for Long-tailed Object
Detection", CVPR 2021, https://arxiv.org/abs/2012.08548

The gradient of an entry is |p - y|, that of the plain cross-entropy with its logit: p the score for
a class, y whether the sample is of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from matplotlib.figure import Figure
from torch import Tensor

from imbdet.drawing.style import DARK, MIDDLE, new_figure
from imbdet.figures.averages import ratio
from imbdet.figures.class_frequency import Frequencies, describe_by_frequency, draw_by_frequency
from imbdet.figures.study import NothingToShow, Study
from imbdet.ops.labels import positive_entries
from imbdet.wording import counted


@dataclass(frozen=True)
class GradientRatios(Study):
    """Entries, one for each chosen sample and class, of K classes.

    Attributes:
        classes: (K,) names, the most frequent one first.
        frequencies: frequencies of the classes.
        positives: (K,) int64 numbers of samples of the class.
        negatives: (K,) int64 numbers of samples of another class or of the background.
        pos_grads: (K,) sums of the gradients of the positive entries.
        neg_grads: (K,) sums of the gradients of the negative entries.
    """

    name = "gradient_ratio"
    title = "Gradients of each class"
    caption = (
        "Each class, by its frequency, has two marks. The filled one is the sum of the "
        "gradients |p - y| of its positive entries over that of its negative ones, among the "
        "samples that the sampler chose: below 1 a class is pushed down more than it is pulled up. "
        "The hollow one is the same of their numbers. EQLv2 makes up for the first by weights."
    )

    classes: Sequence[str]
    frequencies: Frequencies
    positives: np.ndarray
    negatives: np.ndarray
    pos_grads: np.ndarray
    neg_grads: np.ndarray

    @property
    def ratios(self) -> np.ndarray:
        """(K,) ratios of the gradients; NaN of a class without positives or negative gradients."""
        return ratio(np.where(self.positives > 0, self.pos_grads, np.nan), self.neg_grads)

    @property
    def count_ratios(self) -> np.ndarray:
        """(K,) ratios of the numbers; NaN of a class without positives or negatives."""
        return ratio(np.where(self.positives > 0, self.positives, np.nan), self.negatives)

    def table(self) -> pa.Table:
        """See :class:`Study`; a row for each class."""
        return pa.table(
            {
                "class": list(self.classes),
                self.frequencies.column: self.frequencies.counts,
                "chosen_positives": self.positives,
                "chosen_negatives": self.negatives,
                "gradient_of_positives": self.pos_grads,
                "gradient_of_negatives": self.neg_grads,
                "gradient_ratio": self.ratios,
            }
        )

    def sentence(self) -> str:
        """See :class:`Study`."""
        num_without = int((self.positives == 0).sum())
        without = counted(num_without, "class has", "classes have")
        return (
            "The median over classes of the gradients of the positives, divided by those of the "
            f"negatives, is {describe_by_frequency(self.frequencies, self.ratios)}; that of their "
            f"numbers is {describe_by_frequency(self.frequencies, self.count_ratios)}."
            + (f" {without} no chosen positive." if num_without else "")
        )

    def draw(self) -> Figure:
        """Both ratios of each class over its frequency, all axes logarithmic."""
        figure = new_figure(3.4, width=5.0)
        axes = figure.add_subplot()
        axes.axhline(1, color="black", linewidth=0.8)
        hollow = {"facecolors": "none", "edgecolors": MIDDLE, "marker": "s", "linewidths": 0.8}
        draw_by_frequency(
            axes, None, self.frequencies, self.count_ratios, label="numbers", **hollow
        )
        draw_by_frequency(
            axes, self.classes, self.frequencies, self.ratios, label="gradients", color=DARK
        )
        axes.set(yscale="log", ylabel="positives / negatives")
        figure.legend(loc="outside lower center", ncols=2)
        return figure


class ChosenEntries:
    """Gathers, image by image, the entries of the samples that a sampler chose.

    Attributes:
        counts: (K + 1,) int64 numbers of samples of each class, and last of the background.
        pos_grads: (K,) see :class:`GradientRatios`.
        neg_grads: (K,) see :class:`GradientRatios`.
    """

    def __init__(self, num_classes: int):
        """Start without entries of the K = ``num_classes`` classes."""
        self.counts = np.zeros(num_classes + 1, dtype=np.int64)
        self.pos_grads, self.neg_grads = np.zeros((2, num_classes))

    def add(self, scores: Tensor, gt_labels: Tensor) -> None:
        """Add the entries of some samples.

        Args:
            scores: (M, K) scores of the classes.
            gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        """
        num_classes = len(self.pos_grads)
        is_valid = gt_labels >= 0
        scores, labels = scores[is_valid], gt_labels[is_valid]
        rows, classes = positive_entries(labels, num_classes)
        missing = (1 - scores[rows, classes].double()).cpu().numpy()
        scores[rows, classes] = 0  # in the copy that the mask made
        self.counts += labels.bincount(minlength=num_classes + 1).cpu().numpy()
        self.pos_grads += np.bincount(classes.cpu().numpy(), missing, minlength=num_classes)
        self.neg_grads += scores.sum(dim=0, dtype=torch.float64).cpu().numpy()

    def result(self, frequencies: Frequencies, classes: Sequence[str]) -> GradientRatios:
        """The gathered numbers.

        Args:
            frequencies: frequencies of the first K' of the K classes, which the data set has.
            classes: (K',) names of these classes.

        Raises:
            NothingToShow: no positive was chosen, or no negative.
        """
        frequencies, order = frequencies.frequent_first()
        positives = self.counts[order]
        if not positives.any():
            raise NothingToShow("there are no positives.")
        numbers = GradientRatios(
            classes=[classes[k] for k in order],
            frequencies=frequencies,
            positives=positives,
            negatives=self.counts.sum() - positives,
            pos_grads=self.pos_grads[order],
            neg_grads=self.neg_grads[order],
        )
        if np.isnan(numbers.ratios).all():
            raise NothingToShow("no class has gradients of negatives.")
        return numbers
