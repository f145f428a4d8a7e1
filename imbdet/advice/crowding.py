"""How many objects stand in an image, and how close together."""

from typing import NamedTuple

import numpy as np

from imbdet.advice.annotated_images import AnnotatedImages
from imbdet.advice.overlaps import Overlaps


class Crowding(NamedTuple):
    """Objects of a data set in relation to each other.

    Attributes:
        mean: objects of an image.
        most: objects of the fullest image.
        suppressed: share of the objects that non-maximum suppression takes for another one of their
            class, where those that are annotated first have higher scores.
        regions: number of crowds and ignored regions.
        crowds: number of crowds that are ignored by DATASETS.IGNORED.CROWDS alone.
    """

    mean: float
    most: int
    suppressed: float
    regions: int
    crowds: int


def crowding(
    images: AnnotatedImages, objects: AnnotatedImages, overlaps: Overlaps, nms_threshold: float
) -> Crowding:
    """Count.

    Args:
        images: the data set.
        objects: those in it.
        overlaps: of the objects, all with an IoU above the threshold.
        nms_threshold: IoU above which the box of the lower score goes.
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
    """Of objects that overlap in (P, 2) pairs; one that is lost itself takes no other with it."""
    lost: set[int] = set()
    for first, second in sorted(map(tuple, pairs.tolist())):
        if first not in lost:
            lost.add(second)
    return len(lost)


def beyond_limits(objects: AnnotatedImages, per_image: int, per_class: int) -> float:
    """Share of the objects that no detection is left for.

    Args:
        objects: of a test set.
        per_image: how many detections an image has at most.
        per_class: how many of them count of each class.
    """
    num_classes = len(objects.classes)
    places, numbers = np.unique(
        objects.image_idxs * num_classes + objects.labels, return_counts=True
    )
    countable = np.bincount(places // num_classes, numbers.clip(max=per_class))
    found = countable.clip(max=per_image).sum()
    return 1 - float(found) / len(objects.boxes) if len(objects.boxes) else 0.0
