"""Annotations that are worth a look, since they can hardly be as they are."""

from dataclasses import dataclass

import numpy as np

from imbdet.advice.annotated_images import AnnotatedImages
from imbdet.advice.overlaps import Overlaps

# IoU above which two boxes are hardly two objects.
SAME_BOX = 0.9
# Pixels of the image below which nobody marks a side by hand.
LEAST_SIDE = 2
# Longer to shorter side: a ski seen from its side has less.
MOST_ELONGATED = 20


@dataclass(frozen=True, eq=False)
class DoubtfulBoxes:
    """Rows of annotations, each kind ascending.

    Attributes:
        duplicates: with the box and class of another one before them.
        contradictions: with the box, but not the class, of another one before them.
        tiny: with a side that is too short to be marked.
        elongated: with a side that is much longer than the other.
        outside: that reach far beyond their image.
    """

    duplicates: np.ndarray
    contradictions: np.ndarray
    tiny: np.ndarray
    elongated: np.ndarray
    outside: np.ndarray


def doubtful_boxes(
    objects: AnnotatedImages, overlaps: Overlaps, outside: np.ndarray
) -> DoubtfulBoxes:
    """Find them.

    Args:
        objects: of the data set.
        overlaps: of the objects, all with an IoU above ``SAME_BOX``.
        outside: (N,) bool, whether boxes reach far beyond their image.
    """
    is_same_box = overlaps.ious > SAME_BOX
    is_same_class = objects.labels[overlaps.first] == objects.labels[overlaps.second]
    shorter, longer = np.sort(objects.boxes[:, 2:] - objects.boxes[:, :2], axis=1).T
    return DoubtfulBoxes(
        duplicates=np.unique(overlaps.second[is_same_box & is_same_class]),
        contradictions=np.unique(overlaps.second[is_same_box & ~is_same_class]),
        tiny=np.flatnonzero(shorter < LEAST_SIDE),
        elongated=np.flatnonzero((shorter >= LEAST_SIDE) & (longer > MOST_ELONGATED * shorter)),
        outside=np.flatnonzero(outside),
    )
