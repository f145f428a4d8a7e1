"""Objects whose box may be in another place."""

from functools import cached_property

import numpy as np

from imbdet.suspects.box_arrays import EDGES, iou_matrix
from imbdet.suspects.evidence import inside, rows_of_images
from imbdet.suspects.suspect import ObjectKind, Suspect

_NAMES = ("left", "upper", "right", "lower")


class Misplaced(ObjectKind):
    """The detector says that the object is elsewhere.

    The score is (1 - IoU) n / (n + 1). The IoU is that of the annotated box with the proposed one,
    which is the annotated box moved by the mean shift of its sides. The factor, where n is the
    number of judged sights, lowers scores that rest on few sights.
    """

    name, title, threshold = "misplaced", "badly placed box", 0.4

    @cached_property
    def scores(self) -> np.ndarray:
        judged = self.evidence.objects["judged"]
        return np.asarray((1 - self._ious) * judged / (judged + 1))

    @cached_property
    def proposals(self) -> np.ndarray:
        """(A, 4) the annotated boxes moved by the mean shifts of their sides, XYXY."""
        moved = self.evidence.boxes + self._shifts
        return inside(moved, self.evidence.sizes)

    @cached_property
    def _ious(self) -> np.ndarray:
        """(A,) IoU of the annotated boxes with the proposed ones."""
        found = np.zeros(len(self.proposals))
        for rows in rows_of_images(self.evidence.objects).values():
            pairs = iou_matrix(self.evidence.boxes[rows], self.proposals[rows])
            found[rows] = pairs.diagonal()
        return found

    @cached_property
    def _shifts(self) -> np.ndarray:
        columns = [self.evidence.objects[f"shift_{edge}"] for edge in EDGES]
        return np.asarray(np.nan_to_num(np.stack(columns, axis=1).astype(float)))

    def suspect(self, row: int) -> Suspect:
        shifts = self._shifts[row]
        parts = ", ".join(
            f"{name} {shift:+.0f}" for name, shift in zip(_NAMES, shifts, strict=True)
        )
        reason = (
            f"At {self.evidence.objects['judged'][row]} sights its sides were said to be off by "
            f"{parts} pixels in the mean, with a deviation of "
            f"{self.evidence.objects['shift_spread'][row]:.1f}; the IoU of the proposed box is "
            f"{self._ious[row]:.2f}."
        )
        return self._suspect(row, reason, proposed_box=tuple(self.proposals[row].tolist()))
