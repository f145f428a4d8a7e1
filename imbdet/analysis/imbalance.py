"""How unequal a data set is: classes, sizes, and how many positives an object owns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from imbdet.analysis.columns import Chunks, NothingToShow
from imbdet.wording import counted

# Sides of squares, in pixels, by factors of the square root of 2; 32 and 96 part COCO's sizes.
SIZE_EDGES = np.concatenate([[0.0], 2 ** (np.arange(4, 22) / 2), [np.inf]])
COCO_EDGES = {32: "small below 32", 96: "large from 96"}
# 0, 1, 2, 3, 4, then in powers of two.
POSITIVES_EDGES = np.array([0, 1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 1 << 40])


@dataclass(frozen=True)
class Imbalance:
    """The objects of a data set, and the positives around them.

    Attributes:
        classes: (K,) names, the one with the most objects first.
        objects: (K,) int64.
        positives: (K,) int64, candidates of each class, ground-truth boxes appended included.
        num_negatives: candidates of the background.
        sizes: (19,) int64 of objects by the square root of their area, see SIZE_EDGES.
        owned: (11,) int64 of objects by their number of positives, see POSITIVES_EDGES.
    """

    classes: Sequence[str]
    objects: np.ndarray
    positives: np.ndarray
    num_negatives: int
    sizes: np.ndarray
    owned: np.ndarray

    def table(self) -> pa.Table:
        """See :class:`Numbers`; a row for each bin of each of the distributions."""
        sizes = [*(f"{round(edge, 1):g}" for edge in SIZE_EDGES[1:-1]), "more"]
        owned = [*(str(edge - 1) for edge in POSITIVES_EDGES[1:-1]), "more"]
        rows = [
            *_rows("class: objects", self.classes, self.objects),
            *_rows("class: positives", self.classes, self.positives),
            *_rows("size below (pixels)", sizes, self.sizes),
            *_rows("positives of an object, up to", owned, self.owned),
            *_rows("candidates", ["background"], np.array([self.num_negatives])),
        ]
        return pa.Table.from_pylist(rows)

    def sentence(self) -> str:
        """See :class:`Numbers`."""
        most, least = int(self.objects[0]), int(self.objects[-1])
        ratio = self.num_negatives / max(int(self.positives.sum()), 1)
        share = (
            f"the most are {self._with_objects(most)}, the fewest {self._with_objects(least)}"
            if most > least
            else f"each class has {most:,}"
        )
        unmatched = counted(int(self.owned[0]), "object got", "objects got")
        return (
            f"Of {self.objects.sum():,} objects {share}; {unmatched} no positive; there are "
            f"{ratio:.1f} negatives for each positive."
        )

    def _with_objects(self, number: int) -> str:
        """The classes that have a number of objects, or how many classes they are."""
        names = [repr(self.classes[k]) for k in np.flatnonzero(self.objects == number)]
        if len(names) == 1:
            return f"{names[0]} ({number:,})"
        said = " and ".join(names) if len(names) == 2 else f"{len(names):,} classes"
        return f"{said} ({number:,} each)"


def _rows(distribution: str, bins: Sequence[str], counts: np.ndarray) -> list[dict]:
    return [
        {"distribution": distribution, "bin": name, "count": int(count)}
        for name, count in zip(bins, counts, strict=True)
    ]


def imbalance(objects: Chunks, num_negatives: int, classes: Sequence[str]) -> Imbalance:
    """Count objects and their positives.

    Args:
        objects: "class", "area" in pixels of the original image, and "num_positives".
        num_negatives: candidates of the background.
        classes: names.

    Raises:
        NothingToShow: there are no objects.
    """
    per_class, positives = np.zeros((2, len(classes)), dtype=np.int64)
    sizes = np.zeros(len(SIZE_EDGES) - 1, dtype=np.int64)
    owned = np.zeros(len(POSITIVES_EDGES) - 1, dtype=np.int64)
    for chunk in objects:
        owners = np.bincount(chunk["class"], chunk["num_positives"], minlength=len(classes))
        per_class += np.bincount(chunk["class"], minlength=len(classes))
        positives += owners.astype(np.int64)
        sizes += np.histogram(np.sqrt(chunk["area"]), SIZE_EDGES)[0]
        owned += np.histogram(chunk["num_positives"], POSITIVES_EDGES)[0]
    if not per_class.any():
        raise NothingToShow("there are no objects.")
    order = np.argsort(-per_class, kind="stable")
    names = [classes[k] for k in order]
    return Imbalance(names, per_class[order], positives[order], num_negatives, sizes, owned)
