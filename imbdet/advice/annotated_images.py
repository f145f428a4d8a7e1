"""The annotations of a data set as columns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class AnnotatedImages:
    """I images with A annotations.

    Attributes:
        sizes: (I, 2) float64, width and height in pixels.
        image_idxs: (A,) int64, the image of each annotation, ascending.
        boxes: (A, 4) float64, XYXY in pixels of the image.
        labels: (A,) int64 in [0, K).
        is_region: (A,) bool, whether it is a crowd or an ignored region, and no object.
        is_ignored: (A,) bool, whether it is an ignored region, whatever becomes of crowds.
        classes: K names.
        file_names: of the images.
        ids: of the annotations, as the data set names them.
    """

    sizes: np.ndarray
    image_idxs: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    is_region: np.ndarray
    is_ignored: np.ndarray
    classes: Sequence[str]
    file_names: Sequence[str]
    ids: Sequence[object]

    def __len__(self) -> int:
        return len(self.sizes)

    def objects(self) -> "AnnotatedImages":
        """The same images without regions."""
        rows = np.flatnonzero(~self.is_region)
        return replace(
            self,
            image_idxs=self.image_idxs[rows],
            boxes=self.boxes[rows],
            labels=self.labels[rows],
            is_region=self.is_region[rows],
            is_ignored=self.is_ignored[rows],
            ids=[self.ids[row] for row in rows.tolist()],
        )

    def num_per_image(self) -> np.ndarray:
        """(I,) int64 annotations."""
        return np.bincount(self.image_idxs, minlength=len(self))

    def name(self, row: int) -> str:
        """An annotation by its id and image."""
        return f"annotation {self.ids[row]} in '{self.file_names[self.image_idxs[row]]}'"
