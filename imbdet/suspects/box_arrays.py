"""Boxes, XYXY in pixels, and how they overlap by the measures of COCO's tools."""

from collections.abc import Sequence

import numpy as np
import pycocotools.mask

# Names of the numbers of a box in tables.
EDGES = ("x0", "y0", "x1", "y1")


def corners(bbox: Sequence[float]) -> tuple[float, ...]:
    """XYXY of a box of an annotation file, XYWH."""
    left, top, width, height = map(float, bbox)
    return left, top, left + width, top + height


def iou_matrix(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(R, S) IoU of each of R boxes with each of S, in [0, 1]; 0 where one has no area."""
    return _overlaps(boxes, others, are_regions=False)


def covered_shares(boxes: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """(R, S) share of each of R boxes that lies in each of S regions, in [0, 1]."""
    return _overlaps(boxes, regions, are_regions=True)


def _overlaps(boxes: np.ndarray, others: np.ndarray, *, are_regions: bool) -> np.ndarray:
    if not (len(boxes) and len(others)):
        return np.zeros((len(boxes), len(others)))
    flags = [are_regions] * len(others)
    return np.asarray(pycocotools.mask.iou(_with_sides(boxes), _with_sides(others), flags))


def _with_sides(boxes: np.ndarray) -> np.ndarray:
    """(R, 4) the boxes as XYWH."""
    boxes = np.asarray(boxes, dtype=np.float64)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
