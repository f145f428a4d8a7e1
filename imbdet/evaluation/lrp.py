"""Optimal localisation recall precision: the error at the best threshold of each class.

Oksuz et al., "Localization Recall Precision (LRP): A New Performance Metric for Object Detection",
ECCV 2018, https://arxiv.org/abs/1807.01696, and "One Metric to Measure them All", TPAMI 2021,
https://arxiv.org/abs/2011.10772. AP does not say at which score to use a detector, nor how well its
boxes fit beyond the IoU thresholds; LRP does.
"""

from dataclasses import dataclass, fields

import numpy as np

from imbdet.evaluation.matches import ClassMatches

# IoU from which a detection is right; the first of the thresholds of `ClassMatches`.
IOU_THRESHOLD = 0.5


@dataclass(frozen=True)
class OptimalLRP:
    """The lowest error over all score thresholds, in percent; lower is better.

    Attributes:
        olrp: total error; 100 if it is best to keep no detection.
        localisation: mean 1 - IoU of the right detections; NaN without any.
        fp: share of wrong detections (1 - precision); NaN where nothing is detected.
        fn: share of missed objects (1 - recall).
        threshold: lowest score to keep, in [0, 1]; NaN if it is best to keep none.
    """

    olrp: float
    localisation: float
    fp: float
    fn: float
    threshold: float


def optimal_lrp(matches: ClassMatches) -> OptimalLRP:
    """Optimal LRP of a class; NaN without objects. Of equally good thresholds the highest is taken.

    LRP = (sum of (1 - IoU) / (1 - 0.5) over the right detections + wrong detections + missed
    objects) / (right + wrong + missed).
    """
    num_objects = int(matches.num_objects[0].sum())
    if not num_objects:
        return OptimalLRP(*[np.nan] * len(fields(OptimalLRP)))
    rows = matches.is_counted[0, 0]
    scores, is_correct = matches.scores[rows], matches.is_correct[0, 0, rows]
    num_right, num_wrong = is_correct.cumsum(), (~is_correct).cumsum()
    misfit = np.where(is_correct, 1 - matches.match_ious[rows], 0).cumsum()
    errors = (misfit / (1 - IOU_THRESHOLD) + num_wrong + num_objects - num_right) / (
        num_wrong + num_objects
    )
    # Detections of equal score are kept or dropped together.
    is_last = np.diff(scores, append=-np.inf) != 0
    errors[~is_last] = np.inf
    best = int(np.argmin(errors)) if len(errors) else -1
    if best < 0 or errors[best] >= 1:  # the error of keeping none
        return OptimalLRP(100.0, np.nan, np.nan, 100.0, np.nan)
    right, wrong = int(num_right[best]), int(num_wrong[best])
    return OptimalLRP(
        olrp=100 * float(errors[best]),
        localisation=100 * float(misfit[best] / right),
        fp=100 * wrong / (right + wrong),
        fn=100 * (num_objects - right) / num_objects,
        threshold=float(scores[best]),
    )
