"""COCO's average precision when images count several times, or not at all.

Matching is a matter of one image and does not change with the others; only what is summed over
images does. So a resample of the images is a weight for each, and the matches serve all resamples.
"""

import numpy as np

from imbdet.compare.matches import NUM_AREAS, NUM_THRESHOLDS, ClassMatches

RECALLS = np.linspace(0, 1, 101)
# Elements of an array of resamples x detections: bounds the memory.
_CHUNK_SIZE = 1 << 22


def average_precisions(matches: ClassMatches, weights: np.ndarray) -> np.ndarray:
    """Average precision of a class in [0, 1], NaN where there are no objects.

    It is what COCO computes of a data set in which an image of weight 2 is there twice. (Where
    detections of equal score are right and wrong, COCO's value depends on their order: here an
    image's copies stand together.)

    Args:
        matches: of the class.
        weights: (B, I) whole numbers >= 0, how often each resample has each image.

    Returns:
        (B, A, T).
    """
    result = np.empty((len(weights), NUM_AREAS, NUM_THRESHOLDS))
    num_rows = max(1, _CHUNK_SIZE // max(1, len(matches.scores)))
    for start in range(0, len(weights), num_rows):
        rows = slice(start, start + num_rows)
        of_detections = weights[rows, matches.image_idxs].astype(float)
        num_objects = weights[rows] @ matches.num_objects.T
        for area, threshold in np.ndindex(NUM_AREAS, NUM_THRESHOLDS):
            is_counted = matches.is_counted[area, threshold]
            result[rows, area, threshold] = _average_precision(
                of_detections[:, is_counted],
                matches.is_correct[area, threshold, is_counted],
                num_objects[:, area],
            )
    return result


def _average_precision(
    weights: np.ndarray, is_correct: np.ndarray, num_objects: np.ndarray
) -> np.ndarray:
    """(B,) average precision of D detections that count, the highest score first.

    Args:
        weights: (B, D) of the detections.
        is_correct: (D,) bool.
        num_objects: (B,).
    """
    # The curve rises, and reaches further recalls, at correct detections alone.
    num_detections = weights.cumsum(axis=1)[:, is_correct]
    num_correct = weights[:, is_correct].cumsum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0: no objects
        precision = num_correct / (num_detections + np.spacing(1))
        recall = num_correct / num_objects[:, None]
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    num_recalls = np.searchsorted(RECALLS, recall, side="right")  # reached so far
    reached = np.diff(num_recalls, axis=1, prepend=0)
    values = (envelope * reached).sum(axis=1) / len(RECALLS)
    return np.where(num_objects > 0, values, np.nan)
