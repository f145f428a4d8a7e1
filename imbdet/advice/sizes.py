"""Sizes of objects in the resized images that the detector sees."""

from typing import NamedTuple

import numpy as np

from imbdet.advice.annotated_images import AnnotatedImages

# COCO's sizes, and the sides of the squares that separate them, in pixels.
SIZES = ("small", "medium", "large")
_BOUNDS = (32, 96)


class SizeShares(NamedTuple):
    """Shares of the objects by the area of their boxes, in COCO's sizes.

    Attributes:
        small: share of areas below 32 x 32 pixels.
        medium: share of areas in between.
        large: share of areas from 96 x 96 pixels on.
        median: side of a square of the median area, in pixels.
    """

    small: float
    medium: float
    large: float
    median: float


def size_shares(objects: AnnotatedImages, scales: np.ndarray) -> SizeShares | None:
    """The sizes of resized objects; None without objects.

    Args:
        objects: objects of the data set.
        scales: (I, 2) factors of width and height by which each image is resized.
    """
    if not len(objects.boxes):
        return None
    extents = (objects.boxes[:, 2:] - objects.boxes[:, :2]) * scales[objects.image_idxs]
    sides = np.sqrt(extents.prod(axis=1))
    small, medium, large = np.bincount(size_of(sides), minlength=len(SIZES)) / len(sides)
    return SizeShares(float(small), float(medium), float(large), float(np.median(sides)))


def size_of(sides: np.ndarray) -> np.ndarray:
    """(N,) int64 in [0, 3), indices in ``SIZES`` of squares with the sides (N,), in pixels."""
    places: np.ndarray = np.digitize(sides, _BOUNDS)
    return places
