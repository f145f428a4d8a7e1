"""The right and wrong detections of a run that is used at its best thresholds."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from imbdet.evaluation.matches import Matches


@dataclass(frozen=True, eq=False)
class Kept:
    """Right and wrong detections above each class's threshold, and missed objects, at IoU 0.5.

    Attributes:
        right: places of the right detections in :attr:`Matches.detections`.
        wrong: places of the wrong detections; those on crowds are neither right nor wrong.
        missed: places of the objects in :attr:`Matches.objects` that no right detection is matched
            to.
    """

    right: np.ndarray
    wrong: np.ndarray
    missed: np.ndarray

    def counts(self, matches: Matches) -> np.ndarray:
        """(3, I) int64, numbers of right, wrong and missed ones in each image."""
        return np.stack(
            [
                np.bincount(
                    [records[place]["image_id"] - 1 for place in places],
                    minlength=len(matches.images),
                )
                for records, places in (
                    (matches.detections, self.right),
                    (matches.detections, self.wrong),
                    (matches.objects, self.missed),
                )
            ]
        ).astype(np.int64)


def keep(matches: Matches, thresholds: Mapping[str, float]) -> Kept:
    """Drop the detections below the thresholds.

    Args:
        matches: matches of the run.
        thresholds: lowest score to keep, by class; NaN or a missing class keeps nothing.
    """
    right, wrong, found = [], [], []
    for name, of_class in matches.by_class.items():
        is_kept = of_class.scores >= thresholds.get(name, np.nan)
        is_right = is_kept & of_class.is_correct[0, 0]
        is_wrong = is_kept & of_class.is_counted[0, 0] & ~is_right
        right.append(of_class.detection_idxs[is_right])
        wrong.append(of_class.detection_idxs[is_wrong])
        found.append(of_class.object_idxs[is_right])
    objects = np.flatnonzero([not note["iscrowd"] for note in matches.objects])
    return Kept(
        np.concatenate(right),
        np.concatenate(wrong),
        np.setdiff1d(objects, np.concatenate(found)),
    )
