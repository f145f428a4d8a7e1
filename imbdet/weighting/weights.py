"""The protocol of weightings, and their product."""

from typing import NamedTuple, Protocol

from torch import Tensor

from imbdet.structures import Samples


class Weights(NamedTuple):
    """Factors of the losses.

    Attributes:
        cls: (M,) factors of the samples' classification losses, >= 0.
        box: (P,) factors of the positives' box losses, >= 0; may carry a gradient.
    """

    cls: Tensor
    box: Tensor

    @classmethod
    def of_rows(cls, samples: Samples, rows: Tensor, factors: Tensor) -> "Weights":
        """Factors of some samples' classification losses; 1 for all other losses.

        Args:
            samples: M samples.
            rows: (R,) int64, distinct rows of the samples.
            factors: (R,) factors of these rows.
        """
        cls_factors = factors.new_ones(len(samples)).index_copy(0, rows, factors)
        return cls(cls_factors, box=factors.new_ones(len(samples.pos_idxs)))


def times(losses: Tensor, *factors: Tensor | None) -> Tensor:
    """Losses times their factors; None is 1 for all."""
    for factor in factors:
        if factor is not None:
            losses = losses * factor
    return losses


class Weighting(Protocol):
    """Weighs samples."""

    def __call__(self, samples: Samples, cls_losses: Tensor) -> Weights:
        """Weight the samples, whose classification losses are ``cls_losses``, (M,), detached."""
        ...


class WeightingProduct:
    """Weightings one after another, whose factors multiply.

    Each one gets the classification losses weighted by those before it, so that a weighting that
    preserves the total loss preserves the total of these.
    """

    def __init__(self, *weightings: Weighting):
        """Combine one weighting or more."""
        self.weightings = weightings

    def __call__(self, samples: Samples, cls_losses: Tensor) -> Weights:
        """See :class:`Weighting`."""
        first, *others = self.weightings
        weights = first(samples, cls_losses)
        for weighting in others:
            factors = weighting(samples, cls_losses * weights.cls)
            weights = Weights(weights.cls * factors.cls, weights.box * factors.box)
        return weights
