"""Computes annotations in COCO's layout from the pixels of an object."""

import cv2
import numpy as np


def describe(mask: np.ndarray, is_crowd: bool) -> dict:
    """The geometry of an object: `bbox`, `area`, `segmentation` and `iscrowd`.

    Args:
        mask: visible pixels of the object, bool (H, W), at least one.
        is_crowd: whether it is a crowd. Then the segmentation is a run-length encoding, otherwise
            one polygon for each connected part, along the edges of its pixels and without holes.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    width, height = int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y
    if is_crowd:
        area, segmentation = int(mask.sum()), _run_lengths(mask)
    else:
        polygons = [
            polygon + np.array([x, y]) for polygon in _polygons(mask[y : y + height, x : x + width])
        ]
        area = sum(int(cv2.contourArea(polygon)) for polygon in polygons)
        segmentation = [polygon.ravel().tolist() for polygon in polygons]
    return {
        "bbox": [x, y, width, height],
        "area": area,
        "segmentation": segmentation,
        "iscrowd": int(is_crowd),
    }


def _run_lengths(mask: np.ndarray) -> dict:
    """COCO's run-length encoding: column by column, beginning with the zeros."""
    pixels = np.concatenate([[False], mask.ravel(order="F")])
    ends = np.flatnonzero(np.diff(pixels))
    counts = np.diff([0, *ends, mask.size])
    return {"size": list(mask.shape), "counts": counts.tolist()}


def _polygons(mask: np.ndarray) -> list[np.ndarray]:
    """The outer boundaries of a mask's parts: corners (P, 2) on the grid between pixels."""
    # OpenCV's contours run through the centres of the outermost pixels. With pixels halved, the
    # centres of a pixel's halves, 2i and 2i + 1, distinguish its two edges, i and i + 1.
    halves = mask.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    contours = cv2.findContours(halves, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    return [_corners((contour.reshape(-1, 2) + 1) // 2) for contour in contours]


def _corners(points: np.ndarray) -> np.ndarray:
    """A closed path (P, 2) of steps along the axes, without the points where it does not turn."""
    points = points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
    moves_in_x = points[:, 0] != np.roll(points, 1, axis=0)[:, 0]
    return points[moves_in_x != np.roll(moves_in_x, -1)]
