"""Focal loss: cross-entropy that fades out for entries that are classified well.

Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, https://arxiv.org/abs/1708.02002
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from imbdet.kernels.entrywise import entry_weights, entrywise_loss, fused_as
from imbdet.losses.reduction import reduce_losses
from imbdet.methods import CLS_LOSSES
from imbdet.methods.options import Balance, NonNegative


@CLS_LOSSES.register(
    "focal",
    "Focal loss of each class.",
    "Lin et al., ICCV 2017, https://arxiv.org/abs/1708.02002",
)
def focal_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    *,
    alpha: Balance = 0.25,
    gamma: NonNegative = 2.0,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """-alpha_t (1 - p_t)^gamma log(p_t) of each class's sigmoid, summed over the classes (eq. 5).

    Args:
        pred_logits: (M, K) logits.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        alpha: weight of positive entries, negative ones have 1 - alpha; below 0: both 1.
        gamma: focusing exponent; 0 is (alpha-balanced) cross-entropy.
        weights: (M,) factors of the samples, or None.
        reduction: "none" or "sum".

    Returns:
        (M,) losses, 0 for ignored samples; or their sum.
    """
    pos_weight, neg_weight = entry_weights(alpha)
    losses = entrywise_loss(
        pred_logits,
        gt_labels,
        positive=FocalEntry(-1, pos_weight, gamma),
        negative=FocalEntry(+1, neg_weight, gamma),
    )
    return reduce_losses(losses, weights, reduction)


@fused_as("focal", "sign", "weight", "gamma")
@dataclass(frozen=True)
class FocalEntry:
    """Focal loss of one entry; see :class:`imbdet.kernels.entrywise.EntryLoss`.

    With w = 1 - p_t = sigmoid(sign x), so that -log(p_t) = softplus(sign x):

        value = weight w^gamma softplus(sign x)                                     (eq. 5)
        grad = sign weight w^gamma (gamma (1 - w) softplus(sign x) + w)

    Attributes:
        sign: +1 of a negative entry, -1 of a positive one, its mirror image.
        weight: alpha_t, of all entries or of each class.
        gamma: focusing exponent, >= 0, of all entries or of each class.
    """

    sign: int
    weight: float | Tensor
    gamma: float | Tensor

    def value(self, logits: Tensor) -> Tensor:
        wrongness = torch.sigmoid(self.sign * logits)
        log_loss = F.softplus(self.sign * logits)
        return wrongness.pow_(self.gamma).mul_(log_loss).mul_(self.weight)

    def grad(self, logits: Tensor) -> Tensor:
        wrongness = torch.sigmoid(self.sign * logits)
        log_loss = F.softplus(self.sign * logits)
        slope = log_loss.mul_(1 - wrongness).mul_(self.gamma).add_(wrongness)
        return slope.mul_(wrongness.pow_(self.gamma)).mul_(self.sign * self.weight)


@fused_as("detached_focal", "sign", "weight", "gamma")
@dataclass(frozen=True)
class DetachedFocalEntry(FocalEntry):
    """Focal loss of one entry with w^gamma detached, so that grad is no derivative of the value:

    grad = sign weight w^(gamma + 1)
    """

    def grad(self, logits: Tensor) -> Tensor:
        wrongness = torch.sigmoid(self.sign * logits)
        return wrongness.pow_(self.gamma + 1).mul_(self.sign * self.weight)
