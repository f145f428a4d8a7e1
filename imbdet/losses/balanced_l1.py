"""Balanced L1: accurate boxes keep a say in the gradient, outliers no more than their share.

Pang et al., "Libra R-CNN: Towards Balanced Learning for Object Detection", CVPR 2019,
https://arxiv.org/abs/1904.02701
"""

import math

from torch import Tensor

from imbdet.losses.pairs import paired
from imbdet.losses.reduction import reduce_losses


def balanced_l1_loss(
    pred_deltas: Tensor,
    target_deltas: Tensor,
    *,
    alpha: float = 0.5,
    gamma: float = 1.5,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """Loss with the gradient alpha ln(b |d| + 1) where |d| < 1, else gamma.

    The constant b makes the pieces meet: alpha ln(b + 1) = gamma. They meet at 1 only; the
    beta of the published code, which would move that point, breaks the gradient and is left out.

    Args:
        pred_deltas: (P, 4) predicted deltas.
        target_deltas: (P, 4) deltas to reach.
        alpha: the smaller, the more gradient have small differences, > 0.
        gamma: gradient of the differences from 1 on, > 0; at most 88 alpha, as float32 holds no
            larger b.
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
    b = math.expm1(gamma / alpha)
    pred_deltas, target_deltas = paired(pred_deltas, target_deltas)
    distances = (pred_deltas - target_deltas).abs()
    near = distances.clamp(max=1)
    losses = alpha / b * (b * near + 1) * (b * near).log1p() - alpha * near
    losses = losses + gamma * (distances - near)
    return reduce_losses(losses.sum(dim=1), weights, reduction)
