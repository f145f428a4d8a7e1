"""COCO's matching of boxes, for all images, classes, areas and IoU thresholds at once.

The rule is that of pycocotools, which goes through one image and class after the other: the highest
score first, a detection takes the object with the highest IoU that no other detection has. Here all
images and classes take their first detections, then their second ones, and so on.

Shape shorthand, besides that of :mod:`imbdet.evaluation.matches`: G objects, N detections, E pairs
of a detection and an object of its image and class.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pycocotools.mask

# Ranges of areas in square pixels: all, small, medium, large. Both ends belong to a range.
AREA_RANGES = np.array([[0, 1e5**2], [0, 32**2], [32**2, 96**2], [96**2, 1e5**2]])
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
NUM_AREAS, NUM_THRESHOLDS = len(AREA_RANGES), len(IOU_THRESHOLDS)


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects that detections are matched to.

    Attributes:
        groups: (G,) int64, a number for each image and class.
        boxes: (G, 4) XYWH in pixels.
        areas: (G,) square pixels.
        is_crowd: (G,) bool; crowds never count, and take any number of detections.
    """

    groups: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    is_crowd: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """(A, G) bool, whether an object counts among those of an area."""
        return _is_within(self.areas) & ~self.is_crowd


@dataclass(frozen=True, eq=False)
class Detections:
    """Detections, of which those of a group stand together, the highest score first.

    Attributes:
        groups: (N,) int64, ascending.
        boxes: (N, 4) XYWH in pixels.
        is_wrong_on_nothing: (N,) bool, or one for all: whether a detection without a match is
            wrong; otherwise it is neither right nor wrong.
    """

    groups: np.ndarray
    boxes: np.ndarray
    is_wrong_on_nothing: np.ndarray | bool = True


@dataclass(frozen=True, eq=False)
class BoxMatches:
    """The result of :func:`match_boxes`.

    Attributes:
        object_idxs: (N,) int64, the object matched at IoU 0.5 among all areas; -1 for none.
        match_ious: (N,) IoU with that object, or the share that a crowd covers; NaN for none.
        best_ious: (N,) highest IoU with an object of the group, crowds excluded; 0 without any.
        is_correct: (A, T, N) bool, whether a detection is matched to an object that counts.
        is_counted: (A, T, N) bool, whether a detection is right or wrong; the others are neither.
    """

    object_idxs: np.ndarray
    match_ious: np.ndarray
    best_ious: np.ndarray
    is_correct: np.ndarray
    is_counted: np.ndarray


def rank_detections(
    groups: np.ndarray, scores: np.ndarray, max_detections: int = 100
) -> np.ndarray:
    """Places of the detections that COCO compares, at most ``max_detections`` of a group.

    Args:
        groups: (N,) int64.
        scores: (N,) scores; equal ones stay in their order.
        max_detections: limit of a group; COCO's is 100.

    Returns:
        (n,) int64, ordered by group, then by score, the highest first.
    """
    order = np.lexsort([-scores, groups])
    return order[_places_in_groups(groups[order]) < max_detections]


def boxes_of(records: Sequence[Mapping]) -> np.ndarray:
    """(N, 4) XYWH in pixels, of objects or detections."""
    return np.array([record["bbox"] for record in records], dtype=float).reshape(-1, 4)


def match_boxes(objects: Objects, detections: Detections) -> BoxMatches:
    """Match detections to objects as COCO does."""
    num = len(detections.groups)
    pairs = _pair(objects, detections)
    object_counts = objects.counts
    is_taken = np.zeros((NUM_AREAS, NUM_THRESHOLDS, len(objects.groups)), dtype=bool)
    is_matched = np.zeros((NUM_AREAS, NUM_THRESHOLDS, num), dtype=bool)
    is_counted = np.zeros_like(is_matched)
    object_idxs, match_ious = np.full(num, -1), np.full(num, np.nan)
    for turn in _turns(pairs, _places_in_groups(detections.groups)):
        is_free = ~is_taken[..., turn.objects] | objects.is_crowd[turn.objects]
        area, threshold, chosen = turn.choose(is_free, object_counts[:, None, turn.objects])
        found, matched = turn.detections[chosen], turn.objects[chosen]
        is_taken[area, threshold, matched] = True
        is_matched[area, threshold, found] = True
        is_counted[area, threshold, found] = object_counts[area, matched]
        at_half = (area == 0) & (threshold == 0)
        object_idxs[found[at_half]] = matched[at_half]
        match_ious[found[at_half]] = turn.ious[chosen[at_half]]
    is_correct = is_counted.copy()
    # A detection without a match is wrong among the objects of its own size.
    areas = detections.boxes[:, 2] * detections.boxes[:, 3]
    is_counted |= ~is_matched & (_is_within(areas) & detections.is_wrong_on_nothing)[:, None]
    best_ious = np.zeros(num)
    no_crowd = ~objects.is_crowd[pairs.objects]
    np.maximum.at(best_ious, pairs.detections[no_crowd], pairs.ious[no_crowd])
    return BoxMatches(object_idxs, match_ious, best_ious, is_correct, is_counted)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Detections with the objects of their groups; the pairs of a detection stand together.

    Attributes:
        detections: (E,) int64.
        objects: (E,) int64; those of a detection ascend.
        ious: (E,) IoUs; of a crowd, the share of the detection that it covers.
    """

    detections: np.ndarray
    objects: np.ndarray
    ious: np.ndarray

    def choose(self, is_free: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, ...]:
        """The areas, thresholds and pairs at which detections, each of another group, are matched.

        Args:
            is_free: (A, T, E) bool, whether the object can be taken.
            counts: (A, 1, E) bool, whether the object counts.
        """
        starts = np.flatnonzero(np.diff(self.detections, prepend=-1))  # first of each detection
        sizes = np.diff(starts, append=len(self.detections))
        fits = is_free & (self.ious >= IOU_THRESHOLDS[:, None])
        # An object that counts is taken before one that does not.
        best = np.logical_or.reduceat(fits & counts, starts, axis=-1)
        fits &= counts | ~best.repeat(sizes, axis=-1)
        # Of equal IoUs the last one is taken.
        best = np.maximum.reduceat(np.where(fits, self.ious, -1), starts, axis=-1)
        fits &= self.ious == best.repeat(sizes, axis=-1)
        last = np.maximum.reduceat(np.where(fits, np.arange(fits.shape[-1]), -1), starts, axis=-1)
        area, threshold, place = np.nonzero(last >= 0)
        return area, threshold, last[area, threshold, place]


def _pair(objects: Objects, detections: Detections) -> _Pairs:
    order = np.argsort(objects.groups, kind="stable")
    groups = objects.groups[order]
    first, last = (np.searchsorted(groups, detections.groups, side) for side in ("left", "right"))
    num_objects = last - first
    detection_idxs = np.repeat(np.arange(len(num_objects)), num_objects)
    within = np.arange(len(detection_idxs)) - np.repeat(
        num_objects.cumsum() - num_objects, num_objects
    )
    ious = [np.zeros(0)]
    _, starts, counts = np.unique(detections.groups, return_index=True, return_counts=True)
    for start, count in zip(starts, counts, strict=True):
        own = order[first[start] : last[start]]
        if len(own):
            found = detections.boxes[start : start + count]
            table = pycocotools.mask.iou(found, objects.boxes[own], objects.is_crowd[own])
            ious.append(table.ravel())
    object_idxs = order[first[detection_idxs] + within]
    return _Pairs(detection_idxs, object_idxs, np.concatenate(ious))


def _turns(pairs: _Pairs, ranks: np.ndarray) -> Iterator[_Pairs]:
    """The pairs of the first detection of each group, then those of the second, and so on."""
    rank_of_pairs = ranks[pairs.detections]
    order = np.argsort(rank_of_pairs, kind="stable")
    ends = np.bincount(rank_of_pairs).cumsum()
    for rows in np.split(order, ends[:-1]) if len(order) else ():
        if len(rows):
            yield _Pairs(pairs.detections[rows], pairs.objects[rows], pairs.ious[rows])


def _places_in_groups(groups: np.ndarray) -> np.ndarray:
    """(N,) int64, ranks 0, 1, ... within each of the groups, which ascend."""
    _, starts, counts = np.unique(groups, return_index=True, return_counts=True)
    return np.arange(len(groups)) - np.repeat(starts, counts)


def _is_within(areas: np.ndarray) -> np.ndarray:
    """(A, N) bool, whether each of N areas is in each range."""
    low, high = AREA_RANGES.T[..., None]
    return (low <= areas) & (areas <= high)
