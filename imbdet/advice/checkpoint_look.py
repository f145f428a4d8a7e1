"""Statistics of training images by a checkpoint: shares of the background, and positives."""

from dataclasses import dataclass

import numpy as np

from imbdet.advice.background_shares import BackgroundShares
from imbdet.advice.sizes import SIZES, size_of


@dataclass(frozen=True, eq=False)
class CheckpointLook:
    """Statistics of some training images by a checkpoint, without a training step.

    Attributes:
        weights: the checkpoint file.
        place: class of the part of the detector that has the samples.
        num_images: number of images examined.
        of_images: number of all training images.
        background: shares of the background; None where they cannot be computed.
        sides: (G,) square roots of the areas of the objects, in pixels of the network's input.
        num_positives: (G,) int64 number of positive anchors or proposals of each object; the ground
            truth that is appended to the proposals does not count.
    """

    weights: str
    place: str
    num_images: int
    of_images: int
    background: BackgroundShares | None
    sides: np.ndarray
    num_positives: np.ndarray

    def positives_by_size(self) -> dict[str, np.ndarray]:
        """Numbers of positives by object size; COCO's sizes without objects are left out."""
        sizes = size_of(self.sides)
        by_size = {name: self.num_positives[sizes == i] for i, name in enumerate(SIZES)}
        return {name: numbers for name, numbers in by_size.items() if len(numbers)}

    @property
    def share_of_small_unmatched(self) -> float:
        """Share of the small objects that have no positive; 0 without small objects."""
        numbers = self.positives_by_size().get(SIZES[0])
        return 0.0 if numbers is None else float((numbers == 0).mean())
