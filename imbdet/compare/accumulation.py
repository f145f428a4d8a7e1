"""COCO's average precision when images count several times, or not at all.

The matches of an image do not depend on other images; only sums over images do. So the same matches
serve any weights of the images.

Shape shorthand, besides that of :mod:`imbdet.evaluation.matches`: B sets of weights, C correct
detections. Arrays of sets have these as rows, which are contiguous, since sums and gathers run
along them.
"""

import numpy as np

from imbdet.evaluation.comparison import RECALLS
from imbdet.evaluation.matches import ClassMatches
from imbdet.evaluation.matching import NUM_AREAS, NUM_THRESHOLDS

_ENDS = np.append(RECALLS, np.inf)
# Largest number of elements of an array of sets x detections, which bounds the memory.
_CHUNK_SIZE = 1 << 22


def average_precisions(matches: ClassMatches, weights: np.ndarray) -> np.ndarray:
    """Average precision of a class in [0, 1], NaN where there are no objects.

    It is what COCO computes for a data set that has an image of weight 2 twice. (Where detections
    of equal score are right and wrong, COCO's value depends on their order: here the copies of an
    image are adjacent.)

    Args:
        matches: matches of the class.
        weights: (B, I) int32 >= 0, number of times that each set has each image.

    Returns:
        (B, A, T) average precisions.
    """
    result = np.empty((len(weights), NUM_AREAS, NUM_THRESHOLDS))
    # Where there are many classes, most are rare: few images have their objects.
    images = np.flatnonzero(matches.num_objects.any(axis=0))
    num_rows = max(1, _CHUNK_SIZE // max(1, len(matches.scores)))
    for start in range(0, len(weights), num_rows):
        rows = slice(start, start + num_rows)
        of_detections = np.take(weights[rows], matches.image_idxs, axis=1)
        num_objects = np.take(weights[rows], images, axis=1) @ matches.num_objects[:, images].T
        for area in range(NUM_AREAS):
            result[rows, area] = _of_area(
                of_detections,
                matches.is_correct[area],
                matches.is_counted[area],
                num_objects[:, area],
            )
    return result


def _of_area(
    weights: np.ndarray, is_correct: np.ndarray, is_counted: np.ndarray, num_objects: np.ndarray
) -> np.ndarray:
    """(B, T) average precisions of D detections, the highest score first.

    Args:
        weights: (B, D) weights of the detections' images.
        is_correct: (T, D) bool, whether each detection is correct.
        is_counted: (T, D) bool, whether each detection counts.
        num_objects: (B,) weighted numbers of objects.
    """
    # Nearly all detections count at all thresholds or at none, and are summed up once.
    always = is_counted.all(axis=0)
    sums = _sums(weights, always)
    result = np.empty((len(weights), NUM_THRESHOLDS))
    for threshold in range(NUM_THRESHOLDS):
        places = np.flatnonzero(is_correct[threshold])
        sometimes = is_counted[threshold] & ~always
        # The curve rises, and reaches further recalls, at correct detections alone.
        num_detections = np.take(sums, always.cumsum()[places], axis=1)
        if sometimes.any():
            num_detections += np.take(_sums(weights, sometimes), sometimes.cumsum()[places], axis=1)
        num_correct = np.take(weights, places, axis=1).cumsum(axis=1)
        result[:, threshold] = _average_precision(num_correct, num_detections, num_objects)
    return result


def _sums(weights: np.ndarray, is_chosen: np.ndarray) -> np.ndarray:
    """(B, 1 + n) sums over none, the first one, the first two, ... of the n chosen columns."""
    places = np.flatnonzero(is_chosen)
    sums = np.zeros((len(weights), 1 + len(places)), dtype=weights.dtype)
    np.cumsum(np.take(weights, places, axis=1), axis=1, out=sums[:, 1:])
    return sums


def _average_precision(
    num_correct: np.ndarray, num_detections: np.ndarray, num_objects: np.ndarray
) -> np.ndarray:
    """(B,) average precisions.

    Args:
        num_correct: (B, C) weighted numbers of correct detections up to each of them.
        num_detections: (B, C) weighted numbers of detections that count up to there.
        num_objects: (B,) weighted numbers of objects.
    """
    precision = num_correct / (num_detections + np.spacing(1))
    recall = num_correct / np.maximum(num_objects, 1)[:, None]
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = _num_reached(recall)
    reached[:, 1:] -= reached[:, :-1]
    values = (envelope * reached).sum(axis=1) / len(RECALLS)
    return np.where(num_objects > 0, values, np.nan)


def _num_reached(recall: np.ndarray) -> np.ndarray:
    """The number of RECALLS that are not above each recall in [0, 1], without a search."""
    below = (recall * (len(RECALLS) - 1)).astype(np.int32)  # off by one at times, by rounding
    return below + (_ENDS[below] <= recall) + (_ENDS[below + 1] <= recall)
