"""Soft sampling: background far from any object may be an object that nobody annotated.

Wu et al., "Soft Sampling for Robust Object Detection", BMVC 2019,
https://arxiv.org/abs/1806.06986
"""

from dataclasses import dataclass

from torch import Tensor

from imbdet.ops.precision import at_least_float32
from imbdet.structures import Samples
from imbdet.weighting.weights import Weights


@dataclass(frozen=True)
class SoftSampling:
    """Negatives weigh less the less they overlap with an object; all others weigh 1.

    The weight is a Gompertz function of the IoU o with the nearest ground truth,
    minimum + (1 - minimum) exp(-b exp(-c o)).

    Attributes:
        minimum: weight of a negative that touches no object, in [0, 1].
        b: displacement, >= 0; the larger, the farther the rise lies from an IoU of 0.
        c: steepness, >= 0; the rise is steepest at the IoU ln(b) / c.
    """

    minimum: float = 0.25
    b: float = 50.0
    c: float = 20.0

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= 1 or self.b < 0 or self.c < 0:
            raise ValueError(
                "soft sampling needs a minimum in [0, 1], b >= 0 and c >= 0, "
                f"not {self.minimum}, {self.b} and {self.c}"
            )

    def __call__(self, samples: Samples, cls_losses: Tensor) -> Weights:
        """See :class:`Weighting`."""
        rows = samples.neg_idxs
        ious = at_least_float32(samples.ious[rows])
        certainty = (-self.b * (-self.c * ious).exp()).exp()
        return Weights.of_rows(samples, rows, self.minimum + (1 - self.minimum) * certainty)
