"""Annotations whose boxes are implausible."""

from dataclasses import dataclass

import numpy as np

from imbdet.advice.annotated_images import AnnotatedImages
from imbdet.advice.overlaps import Overlaps

# IoU above which two boxes are hardly two objects.
SAME_BOX = 0.9
# Length of a side, in pixels of the image, below which nobody marks it by hand.
LEAST_SIDE = 2
# Ratio of the longer to the shorter side; that of a ski seen from its side is lower.
MOST_ELONGATED = 20


@dataclass(frozen=True, eq=False)
class DoubtfulBoxes:
    """Rows of annotations, each kind ascending.

    Attributes:
        duplicates: annotations with the box and the class of an earlier one.
        contradictions: annotations with the box, but not the class, of an earlier one.
        tiny: annotations with a side below ``LEAST_SIDE``.
        elongated: annotations whose longer side is more than ``MOST_ELONGATED`` times the shorter.
        outside: annotations that reach far beyond their image.
    """

    duplicates: np.ndarray
    contradictions: np.ndarray
    tiny: np.ndarray
    elongated: np.ndarray
    outside: np.ndarray


def doubtful_boxes(
    objects: AnnotatedImages, overlaps: Overlaps, outside: np.ndarray
) -> DoubtfulBoxes:
    """Find implausible boxes.

    Args:
        objects: objects of the data set.
        overlaps: pairs of the objects, all those with an IoU above ``SAME_BOX`` among them.
        outside: (A,) bool, whether each box reaches far beyond its image.
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
