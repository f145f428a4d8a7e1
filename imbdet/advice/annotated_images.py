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
        labels: (A,) int64, classes in [0, K).
        is_region: (A,) bool, whether it is a crowd or an ignored region, and no object.
        is_ignored: (A,) bool, whether it is an ignored region by itself, not as a crowd.
        classes: names of the K classes.
        file_names: names of the image files.
        ids: ids of the annotations in the data set.
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
        """(I,) int64 number of annotations of each image."""
        return np.bincount(self.image_idxs, minlength=len(self))

    def name(self, row: int) -> str:
        """Name of an annotation: its id and the file of its image."""
        return f"annotation {self.ids[row]} in '{self.file_names[self.image_idxs[row]]}'"
