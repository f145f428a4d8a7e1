"""Balanced L1: accurate boxes get a larger gradient, outliers a bounded one.

Pang et al., "Libra R-CNN: Towards Balanced Learning for Object Detection", CVPR 2019,
https://arxiv.org/abs/1904.02701
"""

import math

from torch import Tensor

from imbdet.losses.reduction import reduce_losses
from imbdet.methods import BOX_LOSSES
from imbdet.methods.options import Positive
from imbdet.ops.paired import paired


@BOX_LOSSES.register(
    "balanced_l1",
    "Balanced L1 distance of the deltas.",
    "Pang et al., CVPR 2019, https://arxiv.org/abs/1904.02701",
)
def balanced_l1_loss(
    pred_deltas: Tensor,
    target_deltas: Tensor,
    *,
    alpha: Positive = 0.5,
    gamma: Positive = 1.5,
    beta: Positive = 1.0,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """Loss with the gradient alpha ln(b |d| / beta + 1) where |d| < beta, else gamma (eq. 7).

    The constant b makes the pieces meet: alpha ln(b + 1) = gamma. With beta = 1 the loss is the
    paper's; with another one it is beta L(d / beta), the same curve in another unit. The published
    code puts beta into the logarithm alone, so that its gradient is not the stated one and jumps at
    beta; Libra RetinaNet was trained with it, and beta = 0.11.

    Args:
        pred_deltas: (P, 4) predicted deltas.
        target_deltas: (P, 4) deltas to reach.
        alpha: slope near zero; a smaller one gives small differences a larger gradient.
        gamma: gradient of the differences from beta on, the largest of a coordinate; at most 88
            alpha, as float32 holds no larger b.
        beta: difference from which the gradient is constant, in deltas.
        weights: (P,) factors of the samples, or None.
        reduction: "none" or "sum".

    Returns:
        (P,) losses, summed over the coordinates; or their sum.

    Raises:
        ValueError: ``gamma`` is above 88 ``alpha``.
    """
    if gamma > 88 * alpha:
        raise ValueError(f"balanced L1 loss needs gamma <= 88 alpha, not {gamma} and {alpha}")
    b = math.expm1(gamma / alpha)  # eq. 9
    pred_deltas, target_deltas = paired(pred_deltas, target_deltas)
    distances = (pred_deltas - target_deltas).abs() / beta
    near = distances.clamp(max=1)
    losses = alpha / b * (b * near + 1) * (b * near).log1p() - alpha * near  # eq. 8
    losses = beta * (losses + gamma * (distances - near))
    return reduce_losses(losses.sum(dim=1), weights, reduction)
