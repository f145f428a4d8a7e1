"""By what the losses of a place are divided: counts of samples, of one process or of several."""

from typing import Protocol, TypeVar

from torch import Tensor

from imbdet.structures import Candidates

N = TypeVar("N", int, float)


class Count(Protocol):
    """Adds a number up over the processes whose losses belong together."""

    def __call__(self, number: N, /) -> N:
        """The sum of what all of them count, each of which calls it once."""
        ...


class Normalizer(Protocol):
    """Gives the divisor of a batch's losses."""

    def __call__(self, chosen: Candidates, count: Count) -> float | Tensor:
        """The divisor, > 0.

        Args:
            chosen: the samples.
            count: adds up over processes.
        """
        ...


def num_samples(chosen: Candidates, count: Count) -> int:
    """The number of samples that are not ignored, at least 1: Fast R-CNN's divisor."""
    return max(count(int((chosen.gt_labels >= 0).sum())), 1)


def num_positives(chosen: Candidates, count: Count) -> int:
    """The number of positives, at least 1: the divisor of dense detectors."""
    return max(count(len(chosen.pos_idxs)), 1)


def sum_of_quality(chosen: Candidates, count: Count) -> float:
    """The sum of the qualities that the assigner gives, at least 1.

    Feng et al., "TOOD", ICCV 2021, https://arxiv.org/abs/2108.07755, as published in its code.

    Raises:
        ValueError: the assigner gives none.
    """
    if chosen.quality is None:
        raise ValueError(
            "losses are divided by the quality of positives, and the assigner has none"
        )
    return max(count(float(chosen.quality[chosen.pos_idxs].sum())), 1.0)


class Quota:
    """A number of samples for each image, however many were chosen: the RPN's divisor."""

    def __init__(self, batch_size_per_image: int):
        """Say the number, > 0."""
        self.batch_size_per_image = batch_size_per_image

    def __call__(self, chosen: Candidates, count: Count) -> int:
        return self.batch_size_per_image * count(len(chosen.num_per_image))
