"""IoU-aware cross-entropy (IA-BCE): the target of a query combines its score and its IoU.

Cai et al., "Align-DETR: Improving DETR with Simple IoU-aware BCE loss", 2023,
https://arxiv.org/abs/2304.07527; without the ranks also the loss of LW-DETR,
https://arxiv.org/abs/2406.03459, and of RF-DETR.
"""

import torch
from torch import Tensor

from imbdet.kernels.entrywise import entrywise_loss
from imbdet.losses.focal import FocalEntry
from imbdet.losses.quality import QualityFocalPositive, soft_targets
from imbdet.losses.reduction import reduce_losses
from imbdet.methods.options import NonNegative, Positive, Share, checked
from imbdet.ops.labels import positive_entries
from imbdet.ops.local_rank import position_in_group

# Least target of a matched query, however far it is from its object, before its rank counts.
MIN_TARGET = 0.01


@checked
def iou_aware_bce_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    ious: Tensor,
    *,
    gt_idxs: Tensor | None = None,
    alpha: Share = 0.25,
    gamma: NonNegative = 2.0,
    tau: Positive = 1.5,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """BCE(p, t) of positives, p^gamma BCE(p, 0) of negatives, with t = p^alpha u^(1 - alpha).

    The target t, 0.01 at least, is a constant. Where an object is matched with several queries, t
    is multiplied by exp(-rank / tau), the rank being 0 for the object's query of the largest t.
    Gradient flows through p^gamma. Stable for all logits, unlike the logarithms of sigmoids that
    Align-DETR and LW-DETR take.

    Args:
        pred_logits: (M, K) logits of the queries of all images.
        gt_labels: (M,) int64, [0, K) matched with an object of the class, K unmatched, -1 ignored.
        ious: (P,) IoU u in [0, 1] of the matched queries with their objects, in the order of the
            rows; detached.
        gt_idxs: (P,) int64, the object of each matched query, unique in the batch; None if no
            object has several queries. Among equal t the first one ranks higher.
        alpha: exponent of the score in the target; the IoU's is 1 - alpha.
        gamma: focusing exponent of negative entries.
        tau: number of ranks by which a target falls to 1 / e.
        weights: (M,) factors of the samples, or None.
        reduction: "none" or "sum"; DETRs divide the sum by the number of objects.

    Returns:
        (M,) losses, 0 for ignored samples; or their sum.

    Raises:
        ValueError: gt_idxs has another shape than ious.
    """
    ious = soft_targets(pred_logits, gt_labels, ious)
    scores = pred_logits.detach()[positive_entries(gt_labels, pred_logits.shape[-1])]
    scores = scores.to(ious.dtype).sigmoid()
    targets = (scores**alpha * ious ** (1 - alpha)).clamp(min=MIN_TARGET)  # eq. 4
    if gt_idxs is not None:  # eq. 6, else eq. 5
        targets = targets * torch.exp(-_ranks(targets, gt_idxs) / tau)
    losses = entrywise_loss(
        pred_logits,
        gt_labels,
        positive=QualityFocalPositive(beta=0.0),
        negative=FocalEntry(+1, 1.0, gamma),
        pos_args=[targets],
    )
    return reduce_losses(losses, weights, reduction)


def _ranks(values: Tensor, gt_idxs: Tensor) -> Tensor:
    """(P,) number of the same object's positives with a larger value, or an equal one before."""
    if gt_idxs.shape != values.shape:
        raise ValueError(
            f"gt_idxs must have the shape {tuple(values.shape)}, one for each positive, "
            f"not {tuple(gt_idxs.shape)}"
        )
    by_value = values.argsort(descending=True, stable=True)
    return torch.empty_like(by_value).scatter_(0, by_value, position_in_group(gt_idxs[by_value]))
