"""Smooth L1: squared near zero, absolute beyond; and a schedule that takes it to L1.

Girshick, "Fast R-CNN", ICCV 2015, https://arxiv.org/abs/1504.08083; decayed in Qian et al., "DR
Loss: Improving Object Detection by Distributional Ranking", CVPR 2020,
https://arxiv.org/abs/1907.10156
"""

import torch
from torch import Tensor

from imbdet.losses.reduction import reduce_losses
from imbdet.methods import BOX_LOSSES
from imbdet.methods.options import Count, NonNegative
from imbdet.ops.paired import paired


@BOX_LOSSES.register("l1", "L1 distance of the deltas.")
def l1_loss(
    pred_deltas: Tensor,
    target_deltas: Tensor,
    *,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """|d|, summed over the coordinates; see :func:`smooth_l1_loss`."""
    return smooth_l1_loss(pred_deltas, target_deltas, weights=weights, reduction=reduction)


@BOX_LOSSES.register(
    "smooth_l1",
    "Smooth L1 distance of the deltas; its beta is detectron2's own key.",
    given=("beta",),
)
def smooth_l1_loss(
    pred_deltas: Tensor,
    target_deltas: Tensor,
    *,
    beta: NonNegative = 0.0,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """d^2 / (2 beta) where |d| < beta, else |d| - beta / 2, summed over the coordinates (eq. 3).

    Args:
        pred_deltas: (P, 4) predicted deltas.
        target_deltas: (P, 4) deltas to reach.
        beta: difference at which the two pieces meet, in deltas; 0 is L1.
        weights: (P,) factors of the samples, or None.
        reduction: "none" or "sum".

    Returns:
        (P,) losses or their sum.
    """
    pred_deltas, target_deltas = paired(pred_deltas, target_deltas)
    distances = (pred_deltas - target_deltas).abs()
    if beta > 0:
        distances = torch.where(
            distances < beta, distances.square() / (2 * beta), distances - beta / 2
        )
    return reduce_losses(distances.sum(dim=1), weights, reduction)


@BOX_LOSSES.register(
    "decayed_smooth_l1",
    "Smooth L1 distance of the deltas, whose beta falls with the iterations.",
    "Qian et al., CVPR 2020, https://arxiv.org/abs/1907.10156",
    uses_iteration=True,
)
def decayed_smooth_l1_loss(
    pred_deltas: Tensor,
    target_deltas: Tensor,
    *,
    iteration: int,
    initial_beta: NonNegative = 0.11,
    decay: NonNegative = 0.01,
    period: Count = 10000,
    min_beta: NonNegative = 0.01,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """Smooth L1 loss whose beta is ``initial_beta`` minus ``decay`` for each completed period.

    The paper prints ``iteration % period``, which would be a sawtooth; its text describes a beta
    that falls, so that the loss approaches L1 during training.

    Args:
        pred_deltas: (P, 4) predicted deltas.
        target_deltas: (P, 4) deltas to reach.
        iteration: iteration of the training, from 0.
        initial_beta: beta at the start, in deltas.
        decay: amount by which beta falls in each period, in deltas.
        period: number of iterations in a period.
        min_beta: lowest beta, in deltas.
        weights: (P,) factors of the samples, or None.
        reduction: "none" or "sum".

    Returns:
        (P,) losses or their sum.
    """
    beta = max(initial_beta - decay * (iteration // period), min_beta)
    return smooth_l1_loss(
        pred_deltas, target_deltas, beta=beta, weights=weights, reduction=reduction
    )
