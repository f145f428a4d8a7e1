"""Pairs of boxes of an image that overlap."""

from typing import NamedTuple

import numpy as np
import torch

from imbdet.advice.annotated_images import AnnotatedImages
from imbdet.assigners.pairs import box_iou


class Overlaps(NamedTuple):
    """P pairs of boxes of the same image, each pair once.

    Attributes:
        first: (P,) int64 rows of the annotations.
        second: (P,) int64 rows, each higher than the first of its pair.
        ious: (P,) IoU of each pair.
    """

    first: np.ndarray
    second: np.ndarray
    ious: np.ndarray


def find_overlaps(objects: AnnotatedImages, above: float) -> Overlaps:
    """All pairs whose IoU is above a bound.

    Args:
        objects: objects of the data set.
        above: the bound, in [0, 1).
    """
    found = []
    numbers = objects.num_per_image()
    starts = numbers.cumsum() - numbers
    boxes = torch.from_numpy(objects.boxes)
    for image in np.flatnonzero(numbers > 1):
        start = int(starts[image])
        own = boxes[start : start + int(numbers[image])]
        ious = box_iou(own, own[:, None]).triu(diagonal=1)
        first, second = (ious > above).nonzero(as_tuple=True)
        found.append((first + start, second + start, ious[first, second]))
    if not found:
        none = np.empty(0, dtype=np.int64)
        return Overlaps(none, none, np.empty(0))
    return Overlaps(*(torch.cat(column).numpy() for column in zip(*found, strict=True)))
