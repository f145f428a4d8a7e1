"""How unequal the classes of a data set are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imbdet.advice.annotated_images import AnnotatedImages

# Ratio of the objects of the most frequent class to those of the rarest. On shapes the AP of the
# rarest class fell from 10 at 1 : 1 to 8 at 10 : 1 and 2 at 100 : 1 (docs/results.md, dose and
# response).
UNEQUAL = 10


@dataclass(frozen=True, eq=False)
class ClassTail:
    """Numbers of objects and images of K classes.

    Attributes:
        classes: names of the classes.
        objects: (K,) int64 number of objects of each class.
        images: (K,) int64 number of images with an object of each class.
    """

    classes: Sequence[str]
    objects: np.ndarray
    images: np.ndarray

    @property
    def missing(self) -> list[str]:
        """Names of the classes without objects."""
        return [self.classes[k] for k in np.flatnonzero(self.objects == 0).tolist()]

    @property
    def ratio(self) -> float:
        """Ratio of the numbers of objects of the most and the least frequent class that have any.

        It is 1 without objects.
        """
        present = self.objects[self.objects > 0]
        return float(present.max() / present.min()) if len(present) else 1.0

    def is_rare(self, num_images: int) -> np.ndarray:
        """(K,) bool, whether the most frequent class has at least ``UNEQUAL`` times the objects, or
        at most ``num_images`` images have an object of the class."""
        is_rare: np.ndarray = self.objects * UNEQUAL <= self.objects.max(initial=0)
        return is_rare | (self.images <= num_images)

    def in_at_most(self, num_images: int) -> int:
        """Number of classes with objects in at most ``num_images`` images, but in at least one."""
        return int(((self.images > 0) & (self.images <= num_images)).sum())


def class_tail(objects: AnnotatedImages) -> ClassTail:
    """Count the objects and the images of each class."""
    num_classes = len(objects.classes)
    pairs = np.unique(objects.image_idxs * num_classes + objects.labels)
    return ClassTail(
        objects.classes,
        np.bincount(objects.labels, minlength=num_classes),
        np.bincount(pairs % max(num_classes, 1), minlength=num_classes),
    )
