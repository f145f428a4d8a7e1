"""Quality focal and varifocal loss: the target of a positive is the IoU of its box instead of 1.

Li et al., "Generalized Focal Loss: Learning Qualified and Distributed Bounding Boxes for Dense
Object Detection", NeurIPS 2020, https://arxiv.org/abs/2006.04388
Zhang et al., "VarifocalNet: An IoU-aware Dense Object Detector", CVPR 2021,
https://arxiv.org/abs/2008.13367

Both take the quality as an argument of its own, so a positive with an IoU of 0 stays a positive.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from imbdet.kernels.entrywise import fused_as, sum_entries
from imbdet.losses.focal import DetachedFocalEntry, FocalEntry
from imbdet.losses.reduction import reduce_losses
from imbdet.methods import CLS_LOSSES
from imbdet.methods.options import NonNegative
from imbdet.ops.labels import check_labels, has_positive
from imbdet.ops.precision import wide_dtype


@CLS_LOSSES.register(
    "quality_focal",
    "Quality focal loss, with the IoU of the decoded boxes as targets.",
    "Li et al., NeurIPS 2020, https://arxiv.org/abs/2006.04388",
    uses_quality=True,
)
def quality_focal_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    ious: Tensor,
    *,
    beta: NonNegative = 2.0,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """|y - p|^beta BCE(p, y) of each class's sigmoid, summed over the classes (2006.04388, eq. 2).

    The target y is the IoU of a positive entry and 0 for all others. Gradient flows through p in
    both factors. At p = y the factor |y - p|^beta has a kink if beta <= 1; its slope there is 0.

    Args:
        pred_logits: (M, K) logits.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        ious: (P,) quality in [0, 1] of the positives in the order of their rows; detached.
        beta: focusing exponent; 0 is cross-entropy with soft targets.
        weights: (M,) factors of the samples, or None.
        reduction: "none" or "sum".

    Returns:
        (M,) losses, 0 for ignored samples; or their sum.
    """
    losses = sum_entries(
        pred_logits,
        gt_labels,
        positive=QualityFocalPositive(beta),
        negative=FocalEntry(+1, 1.0, beta),
        pos_args=[soft_targets(pred_logits, gt_labels, ious)],
    )
    return reduce_losses(losses, weights, reduction)


@CLS_LOSSES.register(
    "varifocal",
    "Varifocal loss, with the IoU of the decoded boxes as targets.",
    "Zhang et al., CVPR 2021, https://arxiv.org/abs/2008.13367",
    uses_quality=True,
)
def varifocal_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    ious: Tensor,
    *,
    alpha: NonNegative = 0.75,
    gamma: NonNegative = 2.0,
    detach_factor: bool = False,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """y BCE(p, y) of positives, alpha p^gamma BCE(p, 0) of negatives (2008.13367, eq. 2).

    The target y is the IoU of a positive entry, and also its weight, a constant. Gradient flows
    through p^gamma, as in the published code, unless it is detached. A positive with y = 0 has
    no loss; the published code treats it as a negative.

    Args:
        pred_logits: (M, K) logits.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        ious: (P,) quality in [0, 1] of the positives in the order of their rows; detached.
        alpha: weight of negative entries.
        gamma: focusing exponent of negative entries.
        detach_factor: whether p^gamma is detached, as in RT-DETR and DEIM.
        weights: (M,) factors of the samples, or None.
        reduction: "none" or "sum".

    Returns:
        (M,) losses, 0 for ignored samples; or their sum.
    """
    losses = sum_entries(
        pred_logits,
        gt_labels,
        positive=VarifocalPositive(),
        negative=(DetachedFocalEntry if detach_factor else FocalEntry)(+1, alpha, gamma),
        pos_args=[soft_targets(pred_logits, gt_labels, ious)],
    )
    return reduce_losses(losses, weights, reduction)


def soft_targets(pred_logits: Tensor, gt_labels: Tensor, ious: Tensor) -> Tensor:
    """The (P,) quality of the positives, detached, in float32 at least.

    Raises:
        ValueError: the number of qualities is not that of positives, or see :func:`check_labels`.
    """
    is_positive = has_positive(gt_labels, pred_logits.shape[-1])
    _, num_positives = check_labels(pred_logits, gt_labels, None, is_positive.count_nonzero())
    if ious.shape != (num_positives,):
        raise ValueError(
            f"ious must have the shape ({num_positives},), one for each positive, "
            f"not {tuple(ious.shape)}"
        )
    return ious.detach().to(wide_dtype(pred_logits.dtype))


@fused_as("quality_focal", "beta", "weight")
@dataclass(frozen=True)
class QualityFocalPositive:
    """Quality focal loss of a positive entry; see :class:`imbdet.kernels.entrywise.EntryLoss`.

    With d = p - y:

        value = weight |d|^beta BCE(p, y)                                           (eq. 2)
        grad = weight |d|^beta (d + beta p (1 - p) BCE(p, y) / d)

    Attributes:
        beta: focusing exponent, >= 0, of all entries or of each; 0 is cross-entropy with a soft
            target.
        weight: factor of the loss, of all entries or of each.
    """

    beta: float | Tensor
    weight: float | Tensor = 1.0

    def value(self, logits: Tensor, targets: Tensor) -> Tensor:
        factor = self.weight * _distance(logits, targets).abs() ** self.beta
        return factor * _cross_entropy(logits, targets)

    def grad(self, logits: Tensor, targets: Tensor) -> Tensor:
        distance = _distance(logits, targets)
        slope = torch.sigmoid(logits) * torch.sigmoid(-logits) / distance
        slope = slope.masked_fill_(distance == 0, 0) * _cross_entropy(logits, targets)
        return self.weight * distance.abs() ** self.beta * (distance + self.beta * slope)


@fused_as("varifocal")
@dataclass(frozen=True)
class VarifocalPositive:
    """y BCE(p, y), of a positive entry; see :class:`imbdet.kernels.entrywise.EntryLoss`."""

    def value(self, logits: Tensor, targets: Tensor) -> Tensor:
        return targets * _cross_entropy(logits, targets)

    def grad(self, logits: Tensor, targets: Tensor) -> Tensor:
        return targets * _distance(logits, targets)


# Both functions below are sums of two parts, one of which vanishes at a target of 0 or 1: nothing
# cancels there, and the loss of a saturated logit keeps its digits.


def _distance(logits: Tensor, targets: Tensor) -> Tensor:
    """Scores less targets: p - y = (1 - y) p - y (1 - p)."""
    return (1 - targets) * torch.sigmoid(logits) - targets * torch.sigmoid(-logits)


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """BCE(p, y) = -(1 - y) log(1 - p) - y log(p)."""
    return (1 - targets) * F.softplus(logits) + targets * F.softplus(-logits)
