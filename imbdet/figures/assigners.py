"""The priors that each assigner makes positive for the same objects and predictions."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from imbdet.drawing.annotated_matrix import draw_matrix
from imbdet.drawing.style import label_panel, new_figure
from imbdet.figures.averages import ratio
from imbdet.figures.columns import Chunks
from imbdet.figures.study import NothingToShow, Study
from imbdet.wording import percent

# Edges of the sizes: square root of an object's area, in pixels of the file.
SIZE_EDGES = np.array([0.0, 16, 32, 64, 128, 256, np.inf])


@dataclass(frozen=True)
class Assigners(Study):
    """The positives of the objects, by assigner.

    Attributes:
        names: (A,) names of the assigners.
        objects: (S,) int64 numbers of objects of each size; see SIZE_EDGES.
        positives: (A, S) int64 numbers of positives of these objects.
        without: (A,) int64 numbers of objects without a positive.
        ambiguous: (A,) int64 numbers of positives whose centre lies in another object as well.
        sum_ious: (A,) sums of the IoUs of positives with their objects.
    """

    name = "assigners"
    title = "Who is positive"
    caption = (
        "The assigners on the same objects and predictions: how many positives an object gets on "
        "average, by its size (square root of its area in pixels); objects without any; positives "
        "whose centre lies in another object, too; and the mean IoU of a positive's prior with its "
        "object, which of points is that of a square as wide as the stride."
    )

    names: Sequence[str]
    objects: np.ndarray
    positives: np.ndarray
    without: np.ndarray
    ambiguous: np.ndarray
    sum_ious: np.ndarray

    @property
    def per_object(self) -> np.ndarray:
        """(A, S) mean number of positives of an object; NaN where there are no objects."""
        return ratio(self.positives, self.objects[None].repeat(len(self.names), axis=0))

    @property
    def shares(self) -> np.ndarray:
        """(A, 3) share of objects without positive, of ambiguous positives, mean IoU; or NaN."""
        total = self.positives.sum(axis=1)
        objects = np.full(len(self.names), self.objects.sum())
        columns = [ratio(self.without, objects), ratio(self.ambiguous, total)]
        return np.stack([*columns, ratio(self.sum_ious, total)], axis=1)

    def table(self) -> pa.Table:
        """See :class:`Study`; a row for each assigner."""
        labels = [f"positives_of_objects_{label}" for label in _labels()]
        by_size = dict(zip(labels, self.per_object.T, strict=True))
        without, ambiguous, iou = self.shares.T
        shares = {"without_positive": without, "ambiguous": ambiguous, "mean_iou": iou}
        return pa.table({"assigner": list(self.names), **by_size, **shares})

    def sentence(self) -> str:
        """See :class:`Study`."""
        total = self.positives.sum(axis=1) / self.objects.sum()
        most, least = int(total.argmax()), int(total.argmin())
        parts = [
            f"Of the same objects {self.names[most]} makes the most priors positive "
            f"({total[most]:.1f} of an object) and {self.names[least]} the fewest "
            f"({total[least]:.1f})"
        ]
        worst = int(self.without.argmax())
        if self.without[worst]:
            share = self.without[worst] / self.objects.sum()
            parts.append(f"{self.names[worst]} leaves {percent(share)} of the objects without any")
        return "; ".join(parts) + "."

    def draw(self) -> Figure:
        """Positives by size on the left, shares on the right."""
        figure = new_figure(0.3 * len(self.names) + 1.5, layout="compressed")
        used = self.objects > 0
        widths = [max(int(used.sum()), 1), 3]
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=widths)
        labels = [label for label, is_used in zip(_labels(), used, strict=True) if is_used]
        values = self.per_object[:, used]
        highest = max(float(np.nanmax(values)), 1e-9)
        draw_matrix(left, values, labels, top=highest, digits=1, aspect="auto")
        left.set_yticks(range(len(self.names)), self.names)
        left.set_xlabel("size of the object in pixels")
        label_panel(left, "positives of an object")
        titles = ["no positive", "ambiguous", "mean IoU"]
        draw_matrix(right, self.shares, titles, aspect="auto")
        label_panel(right, "shares")
        return figure


def _labels() -> list[str]:
    """Names of the sizes."""
    inner = SIZE_EDGES[1:-1].astype(int)
    between = [f"{low}-{high}" for low, high in itertools.pairwise(inner)]
    return [f"<{inner[0]}", *between, f"≥{inner[-1]}"]


def assigners(rows: Chunks) -> Assigners:
    """Count the positives of each assigner.

    Args:
        rows: chunks of the table ASSIGNED.

    Raises:
        NothingToShow: there are no objects.
    """
    num_sizes, counts = len(SIZE_EDGES) - 1, {}
    for chunk in rows:
        sizes = np.digitize(np.sqrt(chunk["area"]), SIZE_EDGES[1:-1])
        for name in dict.fromkeys(chunk["assigner"]):
            own = chunk["assigner"] == name
            positives, objects = chunk["num_positives"][own], np.ones(own.sum())
            found = np.zeros((5, num_sizes))
            for row, values in enumerate(
                (
                    objects,
                    positives,
                    positives == 0,
                    chunk["num_ambiguous"][own],
                    chunk["sum_ious"][own],
                )
            ):
                found[row] = np.bincount(sizes[own], values, minlength=num_sizes)
            counts[name] = counts.get(name, 0) + found
    if not counts:
        raise NothingToShow("there are no objects.")
    stacked = np.stack(list(counts.values()))  # (A, 5, S)
    return Assigners(
        names=list(counts),
        objects=stacked[0, 0].astype(np.int64),
        positives=stacked[:, 1].astype(np.int64),
        without=stacked[:, 2].sum(axis=1).astype(np.int64),
        ambiguous=stacked[:, 3].sum(axis=1).astype(np.int64),
        sum_ious=stacked[:, 4].sum(axis=1),
    )
