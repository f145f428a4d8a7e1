"""How many objects an image has, and how much they overlap."""

from typing import NamedTuple

import numpy as np

from imbdet.advice.annotated_images import AnnotatedImages
from imbdet.advice.overlaps import Overlaps


class Crowding(NamedTuple):
    """Objects of a data set in relation to each other.

    Attributes:
        mean: mean number of objects in an image.
        most: largest number of objects in an image.
        suppressed: share of the objects that non-maximum suppression removes as duplicates of
            another one of their class, if objects that are annotated first have higher scores.
        regions: number of crowds and ignored regions.
        crowds: number of crowds that are ignored only with DATASETS.IGNORED.CROWDS.
    """

    mean: float
    most: int
    suppressed: float
    regions: int
    crowds: int


def crowding(
    images: AnnotatedImages, objects: AnnotatedImages, overlaps: Overlaps, nms_threshold: float
) -> Crowding:
    """Count the objects of images and their overlaps.

    Args:
        images: the data set, with regions.
        objects: the data set without regions.
        overlaps: pairs of the objects, all those with an IoU above the threshold among them.
        nms_threshold: IoU above which the box with the lower score is removed.
    """
    is_same = objects.labels[overlaps.first] == objects.labels[overlaps.second]
    is_near = overlaps.ious > nms_threshold
    pairs = np.stack([overlaps.first, overlaps.second], axis=1)[is_same & is_near]
    numbers = objects.num_per_image()
    return Crowding(
        mean=float(numbers.mean()),
        most=int(numbers.max()),
        suppressed=_num_suppressed(pairs) / max(len(objects.boxes), 1),
        regions=int(images.is_region.sum()),
        crowds=int((images.is_region & ~images.is_ignored).sum()),
    )


def _num_suppressed(pairs: np.ndarray) -> int:
    """Number of objects lost in (P, 2) pairs that overlap; a lost one suppresses no other."""
    lost: set[int] = set()
    for first, second in sorted(map(tuple, pairs.tolist())):
        if first not in lost:
            lost.add(second)
    return len(lost)


def beyond_limits(objects: AnnotatedImages, per_image: int, per_class: int) -> float:
    """Share of the objects that are beyond the limits of the numbers of detections.

    Args:
        objects: objects of a test set.
        per_image: largest number of detections of an image.
        per_class: largest number of detections of a class in an image that count.
    """
    num_classes = len(objects.classes)
    places, numbers = np.unique(
        objects.image_idxs * num_classes + objects.labels, return_counts=True
    )
    countable = np.bincount(places // num_classes, numbers.clip(max=per_class))
    found = countable.clip(max=per_image).sum()
    return 1 - float(found) / len(objects.boxes) if len(objects.boxes) else 0.0
