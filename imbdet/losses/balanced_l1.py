"""Balanced L1: accurate boxes keep a say in the gradient, outliers no more than their share.

Pang et al., "Libra R-CNN: Towards Balanced Learning for Object Detection", CVPR 2019,
https://arxiv.org/abs/1904.02701
"""

import math

from torch import Tensor

from imbdet.losses.reduction import reduce_losses
from imbdet.ops.paired import paired


def balanced_l1_loss(
    pred_deltas: Tensor,
    target_deltas: Tensor,
    *,
    alpha: float = 0.5,
    gamma: float = 1.5,
    beta: float = 1.0,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """Loss with the gradient alpha ln(b |d| / beta + 1) where |d| < beta, else gamma (eq. 9).

    The constant b makes the pieces meet: alpha ln(b + 1) = gamma. With beta = 1 the loss is the
    paper's; with another one it is beta L(d / beta), the same curve in another unit. The published
    code puts beta into the logarithm alone, so that its gradient is not the stated one and jumps at
    beta; Libra RetinaNet was trained with it, and beta = 0.11.

    Args:
        pred_deltas: (P, 4) predicted deltas.
        target_deltas: (P, 4) deltas to reach.
        alpha: the smaller, the more gradient have small differences, > 0.
        gamma: gradient of the differences from beta on, > 0; at most 88 alpha, as float32 holds no
            larger b.
        beta: difference from which the gradient is constant, in deltas, > 0.
        weights: (P,) factors of the samples, or None.
        reduction: "none" or "sum".

    Returns:
        (P,) losses, summed over the coordinates; or their sum.
    """
    if alpha <= 0 or not 0 < gamma <= 88 * alpha:
        raise ValueError(
            "balanced L1 loss needs alpha > 0 and gamma > 0, at most 88 alpha, "
            f"not {alpha} and {gamma}"
        )
    if beta <= 0:
        raise ValueError(f"balanced L1 loss needs beta > 0, not {beta}")
    b = math.expm1(gamma / alpha)
    pred_deltas, target_deltas = paired(pred_deltas, target_deltas)
    distances = (pred_deltas - target_deltas).abs() / beta
    near = distances.clamp(max=1)
    losses = alpha / b * (b * near + 1) * (b * near).log1p() - alpha * near
    losses = beta * (losses + gamma * (distances - near))
    return reduce_losses(losses.sum(dim=1), weights, reduction)
