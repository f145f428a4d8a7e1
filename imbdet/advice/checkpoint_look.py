"""What a checkpoint makes of training images: their background, and positives of objects."""

from dataclasses import dataclass

import numpy as np

from imbdet.advice.background_shares import BackgroundShares
from imbdet.advice.sizes import SIZES, size_of


@dataclass(frozen=True, eq=False)
class CheckpointLook:
    """A look at some images, without a step of training.

    Attributes:
        weights: the file.
        place: of the detector, whose samples these are.
        num_images: that were looked at.
        of_images: of so many to train on.
        background: its shares; None where nothing pays.
        sides: (G,) sides of squares of the areas of the objects, in pixels of the network's input.
        num_positives: (G,) int64 anchors or proposals of each object; the ground truth that is
            appended to the proposals is none.
    """

    weights: str
    place: str
    num_images: int
    of_images: int
    background: BackgroundShares | None
    sides: np.ndarray
    num_positives: np.ndarray

    def positives_by_size(self) -> dict[str, np.ndarray]:
        """Numbers of positives of the objects of each of COCO's sizes that has some."""
        sizes = size_of(self.sides)
        by_size = {name: self.num_positives[sizes == i] for i, name in enumerate(SIZES)}
        return {name: numbers for name, numbers in by_size.items() if len(numbers)}

    @property
    def share_of_small_unmatched(self) -> float:
        """Share of the small objects that have no positive; 0 without small objects."""
        numbers = self.positives_by_size().get(SIZES[0])
        return 0.0 if numbers is None else float((numbers == 0).mean())
