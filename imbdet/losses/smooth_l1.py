"""Smooth L1: squared near zero, absolute beyond; and a schedule that takes it to L1.

Girshick, "Fast R-CNN", ICCV 2015, https://arxiv.org/abs/1504.08083; decayed in Qian et al., "DR
Loss: Improving Object Detection by Distributional Ranking", CVPR 2020,
https://arxiv.org/abs/1907.10156
"""

import torch
from torch import Tensor

from imbdet.losses.reduction import reduce_losses
from imbdet.ops.paired import paired


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
    pred_deltas, target_deltas = paired(pred_deltas, target_deltas)
    distances = (pred_deltas - target_deltas).abs()
    if beta > 0:
        distances = torch.where(
            distances < beta, distances.square() / (2 * beta), distances - beta / 2
        )
    return reduce_losses(distances.sum(dim=1), weights, reduction)


def decayed_beta(
    iteration: int, *, initial: float, decay: float, period: int, minimum: float
) -> float:
    """Beta of the decayed smooth L1 loss: the first one less ``decay`` for every period completed.

    The article subtracts ``decay * (iteration % period)``, a saw tooth; meant is a beta that falls,
    so that the loss approaches L1 during training.

    Args:
        iteration: of the training, from 0.
        initial: beta at the start.
        decay: what a period takes off, >= 0.
        period: iterations in a period, >= 1.
        minimum: where beta stays, >= 0.
    """
    if decay < 0 or period < 1 or minimum < 0:
        raise ValueError(
            "decayed beta needs decay >= 0, period >= 1 and minimum >= 0, "
            f"not {decay}, {period} and {minimum}"
        )
    return max(initial - decay * (iteration // period), minimum)
