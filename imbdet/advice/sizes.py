"""How large objects are where the detector sees them."""

from typing import NamedTuple

import numpy as np

from imbdet.advice.annotated_images import AnnotatedImages

# Sides of the squares that part COCO's sizes, in pixels.
_SMALL_BELOW, _LARGE_FROM = 32, 96


class SizeShares(NamedTuple):
    """Shares of the objects by the area of their boxes, in COCO's sizes.

    Attributes:
        small: below 32 x 32 pixels.
        medium: between.
        large: from 96 x 96 pixels on.
        median: side of a square of the median area, in pixels.
    """

    small: float
    medium: float
    large: float
    median: float


def size_shares(objects: AnnotatedImages, scales: np.ndarray) -> SizeShares | None:
    """The sizes of resized objects; None without objects.

    Args:
        objects: of the data set.
        scales: (I, 2) factors of width and height by which each image is resized.
    """
    if not len(objects.boxes):
        return None
    extents = (objects.boxes[:, 2:] - objects.boxes[:, :2]) * scales[objects.image_idxs]
    sides = np.sqrt(extents.prod(axis=1))
    small, large = (sides < _SMALL_BELOW).mean(), (sides >= _LARGE_FROM).mean()
    return SizeShares(small, 1 - small - large, large, float(np.median(sides)))
