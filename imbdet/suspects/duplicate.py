"""Objects that may be annotated twice."""

from functools import cached_property

import numpy as np

from imbdet.suspects.box_arrays import iou_matrix
from imbdet.suspects.evidence import rows_of_images
from imbdet.suspects.suspect import ObjectKind, Suspect


class Duplicate(ObjectKind):
    """Two annotations of one place, of the same class or of one that was said instead.

    The score is the IoU with the other annotation, times the share of judged sights at which the
    other's class was said, which is 1 for annotations of one class. Of two annotations the one with
    the lower mean score is the suspect, of equals the later one.
    """

    name, title, threshold = "duplicate", "duplicate", 0.7

    @cached_property
    def scores(self) -> np.ndarray:
        return self._found[0]

    @cached_property
    def _found(self) -> tuple[np.ndarray, np.ndarray]:
        """(A,) scores, and (A,) rows of the annotations that are duplicated."""
        objects = self.evidence.objects
        scores, partners = np.zeros(len(self.evidence.boxes)), np.arange(len(self.evidence.boxes))
        trust = np.nan_to_num(objects["score_mean"])
        for rows in rows_of_images(objects).values():
            if len(rows) < 2:
                continue
            boxes = self.evidence.boxes[rows]
            overlaps = iou_matrix(boxes, boxes) * self._says(rows)
            own = trust[rows]
            later = np.arange(len(rows))[:, None] > np.arange(len(rows))
            is_worse = (own[:, None] < own) | ((own[:, None] == own) & later)
            overlaps *= is_worse
            scores[rows], partners[rows] = overlaps.max(axis=1), rows[overlaps.argmax(axis=1)]
        return scores, partners

    def _says(self, rows: np.ndarray) -> np.ndarray:
        """(n, n) in [0, 1], share of sights at which each is said to be of the other's class."""
        objects = self.evidence.objects
        classes, judged = objects["class"][rows], np.maximum(objects["judged"][rows], 1)
        shares = np.nan_to_num(objects["wrong_class_least"][rows].astype(float)) / judged
        is_said = objects["wrong_class"][rows][:, None] == classes
        return np.where(classes[:, None] == classes, 1.0, is_said * shares[:, None])

    def suspect(self, row: int) -> Suspect:
        objects, partner = self.evidence.objects, int(self._found[1][row])
        iou = iou_matrix(self.evidence.boxes[[row]], self.evidence.boxes[[partner]]).item()
        name = self.evidence.classes[int(objects["class"][partner])]
        reason = (
            f"The annotation {objects['id'][partner]} of '{name}' overlaps it with an IoU of "
            f"{iou:.2f}."
        )
        means = objects["score_mean"][[row, partner]].astype(float)
        if not np.isnan(means).any():
            reason += f" Its mean score is {means[0]:.2f}, that of the other {means[1]:.2f}."
        return self._suspect(
            row,
            reason,
            partner=str(objects["id"][partner]),
            partner_box=tuple(self.evidence.boxes[partner].tolist()),
        )
