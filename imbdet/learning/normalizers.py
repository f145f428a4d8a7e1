"""Divisors of the losses of a place: counts of samples, of one process or of several."""

from typing import Protocol, TypeVar

from torch import Tensor

from imbdet.structures import Candidates

N = TypeVar("N", int, float)


class Count(Protocol):
    """Adds a number up over the processes whose losses belong together."""

    def __call__(self, number: N, /) -> N:
        """The sum of the numbers of all processes, each of which calls it once."""
        ...


class Normalizer(Protocol):
    """Computes the divisor of a batch's losses."""

    def __call__(self, chosen: Candidates, count: Count) -> float | Tensor:
        """The divisor, > 0.

        Args:
            chosen: the samples.
            count: sum over processes.
        """
        ...


def num_samples(chosen: Candidates, count: Count) -> float:
    """The number of samples that are not ignored, at least 1: Fast R-CNN's divisor.

    Weighted samples count as much as they weigh, here and in the other normalizers.
    """
    if chosen.weights is None:
        return max(count(len(chosen.pos_idxs) + len(chosen.neg_idxs)), 1)
    return max(_weigh(chosen, chosen.gt_labels >= 0, count), unit_weight(chosen, count))


def num_positives(chosen: Candidates, count: Count) -> float:
    """The number of positives, at least 1: the divisor of dense detectors."""
    if chosen.weights is None:
        return max(count(len(chosen.pos_idxs)), 1)
    return max(_weigh(chosen, chosen.is_positive, count), unit_weight(chosen, count))


def sum_of_quality(chosen: Candidates, count: Count) -> float:
    """The sum of the qualities that the assigner gives, at least 1.

    Feng et al., "TOOD", ICCV 2021, https://arxiv.org/abs/2108.07755, as published in its code.

    Raises:
        ValueError: the assigner gives no qualities.
    """
    if chosen.quality is None:
        raise ValueError(
            "losses are divided by the quality of positives, and the assigner has none"
        )
    quality = chosen.quality if chosen.weights is None else chosen.quality * chosen.weights
    return max(count(float(quality[chosen.pos_idxs].sum())), float(unit_weight(chosen, count)))


def _weigh(chosen: Candidates, is_counted: Tensor, count: Count) -> float:
    """The sum of the weights of some samples, (M,) bool; weights must be known."""
    assert chosen.weights is not None
    return count(float(chosen.weights[is_counted].sum()))


def unit_weight(chosen: Candidates, count: Count) -> float:
    """Weight of one sample: 1, or the mean weight, so that a common factor changes no loss."""
    if chosen.weights is None:
        return 1
    is_sample = chosen.gt_labels >= 0
    weight, number = _weigh(chosen, is_sample, count), count(int(is_sample.sum()))
    return weight / number if weight > 0 else 1.0


class Quota:
    """A number of samples for each image, however many were chosen: the RPN's divisor."""

    def __init__(self, batch_size_per_image: int):
        """Store the number, > 0."""
        self.batch_size_per_image = batch_size_per_image

    def __call__(self, chosen: Candidates, count: Count) -> float:
        of_images = chosen.targets.image_weights
        if of_images is None:
            return self.batch_size_per_image * count(len(chosen.num_per_image))
        num_images = count(float(of_images.sum()))
        return self.batch_size_per_image * (num_images if num_images > 0 else 1.0)
