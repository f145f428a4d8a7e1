"""Matchability-aware loss (MAL): varifocal loss in which badly matched queries count, too.

Huang et al., "DEIM: DETR with Improved Matching for Fast Convergence", CVPR 2025,
https://arxiv.org/abs/2412.04234

Varifocal loss weighs a positive by its IoU, so that a query far from its object hardly learns; here
every positive has the weight 1, and its IoU is its target alone.
"""

from torch import Tensor

from imbdet.kernels.entrywise import entrywise_loss
from imbdet.losses.focal import DetachedFocalEntry
from imbdet.losses.quality import QualityFocalPositive, soft_targets
from imbdet.losses.reduction import reduce_losses
from imbdet.methods.options import NonNegative, checked


@checked
def matchability_aware_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    ious: Tensor,
    *,
    alpha: NonNegative = 1.0,
    gamma: NonNegative = 1.5,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """BCE(p, u^gamma) of positives, alpha p^gamma BCE(p, 0) of negatives, p^gamma detached.

    Args:
        pred_logits: (M, K) logits of the queries of all images.
        gt_labels: (M,) int64, [0, K) matched with an object of the class, K unmatched, -1 ignored.
        ious: (P,) IoU u in [0, 1] of the matched queries with their objects, in the order of the
            rows; detached.
        alpha: weight of negative entries.
        gamma: exponent of the targets and of the factor of negative entries.
        weights: (M,) factors of the samples, or None.
        reduction: "none" or "sum"; DETRs divide the sum by the number of objects.

    Returns:
        (M,) losses, 0 for ignored samples; or their sum.
    """
    losses = entrywise_loss(
        pred_logits,
        gt_labels,
        positive=QualityFocalPositive(beta=0.0),
        negative=DetachedFocalEntry(+1, alpha, gamma),
        pos_args=[soft_targets(pred_logits, gt_labels, ious) ** gamma],
    )
    return reduce_losses(losses, weights, reduction)
