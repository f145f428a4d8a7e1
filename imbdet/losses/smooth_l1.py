"""Smooth L1: squared near zero, absolute beyond.

Girshick, "Fast R-CNN", ICCV 2015, https://arxiv.org/abs/1504.08083
"""

import torch
from torch import Tensor

from imbdet.losses.reduction import reduce_losses


def smooth_l1_loss(
    pred_deltas: Tensor,
    target_deltas: Tensor,
    *,
    beta: float = 0.0,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """d^2 / (2 beta) where |d| < beta, else |d| - beta / 2, summed over the coordinates (eq. 3).

    Args:
        pred_deltas: (P, 4) predicted deltas.
        target_deltas: (P, 4) deltas to reach.
        beta: where the two pieces meet, >= 0; 0 is L1.
        weights: (P,) factors of the samples, or None.
        reduction: "none" or "sum".

    Returns:
        (P,) losses or their sum.
    """
    if beta < 0:
        raise ValueError(f"smooth L1 loss needs beta >= 0, not {beta}")
    distances = (pred_deltas - target_deltas).abs()
    if beta > 0:
        distances = torch.where(
            distances < beta, distances.square() / (2 * beta), distances - beta / 2
        )
    return reduce_losses(distances.sum(dim=1), weights, reduction)
