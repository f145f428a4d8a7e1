"""What a weighting is."""

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


class Weighting(Protocol):
    """Weighs samples."""

    def __call__(self, samples: Samples, cls_losses: Tensor) -> Weights:
        """Weigh the samples, whose classification losses are ``cls_losses``, (M,), detached."""
        ...
