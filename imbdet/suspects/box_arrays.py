"""Boxes as arrays, XYXY in pixels."""

import numpy as np


def areas(boxes: np.ndarray) -> np.ndarray:
    """(...,) of boxes, (..., 4)."""
    sides: np.ndarray = (boxes[..., 2:] - boxes[..., :2]).clip(min=0)
    return np.asarray(sides.prod(axis=-1))


def intersections(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(...,) areas that boxes share, (..., 4) each, which may be broadcast."""
    corners = np.maximum(boxes[..., :2], others[..., :2])
    ends = np.minimum(boxes[..., 2:], others[..., 2:])
    return areas(np.concatenate([corners, ends], axis=-1))


def ious(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(...,) intersection over union in [0, 1]; 0 where both have no area."""
    shared = intersections(boxes, others)
    unions = areas(boxes) + areas(others) - shared
    return np.asarray(shared / np.where(unions > 0, unions, 1))


def iou_matrix(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(R, S) IoU of each of R boxes with each of S."""
    return ious(boxes[:, None], others[None])
