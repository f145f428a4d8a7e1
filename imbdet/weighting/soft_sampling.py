"""Soft sampling: background far from any object may be an object without annotation.

Wu et al., "Soft Sampling for Robust Object Detection", BMVC 2019,
https://arxiv.org/abs/1806.06986
"""

from dataclasses import dataclass

from torch import Tensor

from imbdet.methods import WEIGHTINGS
from imbdet.methods.options import NonNegative, Share
from imbdet.ops.precision import at_least_float32
from imbdet.structures import Samples
from imbdet.weighting.weights import Weights


@WEIGHTINGS.register(
    "soft_sampling",
    "Negatives far from all objects weigh less.",
    "Wu et al., BMVC 2019, https://arxiv.org/abs/1806.06986",
)
@dataclass(frozen=True)
class SoftSampling:
    """Negatives weigh less the less they overlap with an object; all others weigh 1.

    The weight is a Gompertz function of the IoU o with the nearest ground truth,
    min_weight + (1 - min_weight) exp(-b exp(-c o)).

    Attributes:
        min_weight: weight of a negative that touches no object.
        b: displacement; the larger, the farther the rise lies from an IoU of 0.
        c: steepness; the rise is steepest at the IoU ln(b) / c.
    """

    min_weight: Share = 0.25
    b: NonNegative = 50.0
    c: NonNegative = 20.0

    def __call__(self, samples: Samples, cls_losses: Tensor) -> Weights:
        """See :class:`Weighting`."""
        rows = samples.neg_idxs
        ious = at_least_float32(samples.ious[rows])
        certainty = (-self.b * (-self.c * ious).exp()).exp()
        weights = self.min_weight + (1 - self.min_weight) * certainty
        return Weights.of_rows(samples, rows, weights)
