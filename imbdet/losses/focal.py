"""Focal loss: cross-entropy that fades out for entries that are classified well.

Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, https://arxiv.org/abs/1708.02002
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from imbdet.kernels.entrywise import EntryLoss, entry_weights, entrywise_loss
from imbdet.losses.reduction import reduce_losses


def focal_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """-alpha_t (1 - p_t)^gamma log(p_t) of each class's sigmoid, summed over the classes (eq. 5).

    Args:
        pred_logits: (M, K) logits.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        alpha: weight of positive entries in [0, 1], negative ones have 1 - alpha; below 0: both 1.
        gamma: focusing exponent, >= 0; 0 is (alpha-balanced) cross-entropy.
        weights: (M,) factors of the samples, or None.
        reduction: "none" or "sum".

    Returns:
        (M,) losses, 0 for ignored samples; or their sum.
    """
    if gamma < 0:
        raise ValueError(f"focal loss needs gamma >= 0, not {gamma}")
    pos_weight, neg_weight = entry_weights(alpha)
    losses = entrywise_loss(
        pred_logits,
        gt_labels,
        positive=focal_entry(-1, pos_weight, gamma),
        negative=focal_entry(+1, neg_weight, gamma),
    )
    return reduce_losses(losses, weights, reduction)


def focal_entry(sign: int, weight: float, gamma: float) -> EntryLoss:
    """Focal loss of a negative entry (sign +1); a positive one is its mirror image (sign -1)."""

    def value(logits: Tensor) -> Tensor:
        wrongness = torch.sigmoid(sign * logits)  # 1 - p_t
        return wrongness.pow_(gamma).mul_(F.softplus(sign * logits)).mul_(weight)

    def grad(logits: Tensor) -> Tensor:
        # d/dx w^gamma softplus(x) with w = sigmoid(x):  w^gamma (gamma (1 - w) softplus(x) + w)
        wrongness = torch.sigmoid(sign * logits)
        slope = F.softplus(sign * logits).mul_(1 - wrongness).mul_(gamma).add_(wrongness)
        return slope.mul_(wrongness.pow_(gamma)).mul_(sign * weight)

    return EntryLoss(value, grad)
