"""Places where an annotation may be missing."""

from functools import cached_property

import numpy as np

from imbdet.ops.overlap_limits import BACKGROUND_IOU, SAME_IOU
from imbdet.suspects.box_arrays import covered_shares, iou_matrix
from imbdet.suspects.evidence import rows_of_images
from imbdet.suspects.suspect import Suspect, SuspectKind

# Share of a place from which on it belongs to the crowd or ignored object that covers it, as of a
# prior.
_COVERED = 0.5


class Missing(SuspectKind):
    """The detector finds an object where none is annotated, at sight after sight.

    The score is the quadratic mean of the scores of the place over all sights of its image, 0 where
    it was not found: a few confident sights say more than many others. It is 0, too, if the place
    overlaps an annotated object with an IoU of 0.1 or more, which a crop may have left out, if half
    of it is in a crowd or an ignored object, and if a place of the image with a higher score
    overlaps it with an IoU of 0.5 or more. A class that the data set lacks, as a detector may have
    more, is never missing.
    """

    name, title, threshold = "missing", "missing object", 0.3

    @cached_property
    def scores(self) -> np.ndarray:
        places = self.evidence.places
        said = np.sqrt(places["votes"] / np.maximum(places["seen"], 1))
        objects = rows_of_images(self.evidence.objects)
        is_known = places["class"] < len(self.evidence.classes)
        scores = np.zeros(len(said))
        for image, rows in rows_of_images(places).items():
            gt_boxes = self.evidence.boxes[objects.get(image, np.empty(0, dtype=int))]
            regions = self.evidence.regions.get(image, np.empty((0, 4)))
            is_free = self._is_free(self.evidence.place_boxes[rows], gt_boxes, regions)
            kept = rows[is_free & is_known[rows]]
            kept = kept[np.argsort(-said[kept], kind="stable")]
            overlaps = iou_matrix(*[self.evidence.place_boxes[kept]] * 2) >= SAME_IOU
            is_first = ~np.tril(overlaps, k=-1).any(axis=1)
            scores[kept[is_first]] = said[kept[is_first]]
        return scores

    @staticmethod
    def _is_free(places: np.ndarray, gt_boxes: np.ndarray, regions: np.ndarray) -> np.ndarray:
        """(P,) bool, which places have an area and belong neither to objects nor to regions."""
        has_area = (places[:, 2:] > places[:, :2]).all(axis=1)
        overlaps = (iou_matrix(places, gt_boxes) >= BACKGROUND_IOU).any(axis=1)
        is_covered = (covered_shares(places, regions) >= _COVERED).any(axis=1)
        return np.asarray(has_area & ~overlaps & ~is_covered)

    def suspect(self, row: int) -> Suspect:
        of_row = {name: values[row] for name, values in self.evidence.places.items()}
        proposed = int(of_row["class"])
        reason = (
            f"'{self.evidence.classes[proposed]}' was said here at {of_row['sights']} of "
            f"{of_row['seen']} sights of the image, with a score of "
            f"{np.sqrt(of_row['votes'] / of_row['sights']):.2f}; nothing is annotated."
        )
        return Suspect(
            kind=self.name,
            score=float(self.scores[row]),
            image_id=str(of_row["image_id"]),
            id=None,
            class_index=None,
            box=None,
            reason=reason,
            proposed_class=proposed,
            proposed_box=tuple(self.evidence.place_boxes[row].tolist()),
        )
