"""By what the losses of a place are divided: counts of samples, of one process or of several."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from imbdet.structures import Candidates

# Adds a number of samples or images up over the processes whose losses belong together.
Count = Callable[[int], int]


class Normalizer(Protocol):
    """Gives the divisor of a batch's losses."""

    def __call__(self, chosen: Candidates, count: Count) -> float | Tensor:
        """The divisor, > 0.

        Args:
            chosen: the samples.
            count: adds up what all processes count, each of which calls it once.
        """
        ...


def num_samples(chosen: Candidates, count: Count) -> int:
    """The number of samples that are not ignored, at least 1: Fast R-CNN's divisor."""
    return max(count(int((chosen.gt_labels >= 0).sum())), 1)


class Quota:
    """A number of samples for each image, however many were chosen: the RPN's divisor."""

    def __init__(self, batch_size_per_image: int):
        """Say the number, > 0."""
        self.batch_size_per_image = batch_size_per_image

    def __call__(self, chosen: Candidates, count: Count) -> int:
        return self.batch_size_per_image * count(len(chosen.num_per_image))
