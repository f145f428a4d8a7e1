"""Position-supervised loss: the target score of a query reflects how near it is to its object.

Liu et al., "Detection Transformer with Stable Matching", ICCV 2023,
https://arxiv.org/abs/2304.04742; with the IoU as position also an option of LW-DETR,
https://arxiv.org/abs/2406.03459, and of RF-DETR, whose balance by alpha is this one.
"""

from torch import Tensor

from imbdet.kernels.entrywise import entry_weights, entrywise_loss
from imbdet.losses.focal import FocalEntry
from imbdet.losses.quality import QualityFocalPositive, soft_targets
from imbdet.losses.reduction import reduce_losses
from imbdet.methods.options import Balance, NonNegative, checked
from imbdet.ops.labels import positive_entries, rank_segments

EPS = 1e-8


@checked
def position_supervised_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    ious: Tensor,
    *,
    image_idxs: Tensor | None = None,
    alpha: Balance = 0.25,
    gamma: NonNegative = 2.0,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """Quality focal loss with alpha, whose targets are IoUs divided by the best of the image.

    A positive with an IoU of 0 stays a positive of the target 0; the published code gives it the
    weight of a negative.

    Args:
        pred_logits: (M, K) logits of the queries of all images.
        gt_labels: (M,) int64, [0, K) matched with an object of the class, K unmatched, -1 ignored.
        ious: (P,) IoU in [0, 1] of the matched queries with their objects, in the order of the
            rows; detached.
        image_idxs: (M,) int64, the image of each row; None is one image.
        alpha: weight of positive entries, negative ones have 1 - alpha; below 0: both 1.
        gamma: focusing exponent.
        weights: (M,) factors of the samples, or None.
        reduction: "none" or "sum"; DETRs divide the sum by the number of objects.

    Returns:
        (M,) losses, 0 for ignored samples; or their sum.
    """
    ious = soft_targets(pred_logits, gt_labels, ious)
    rows, _ = positive_entries(gt_labels, pred_logits.shape[-1])
    images, num_images = rank_segments(gt_labels, image_idxs, group=None)
    images = images[rows]
    best_ious = ious.new_zeros(num_images).scatter_reduce_(0, images, ious, "amax")
    pos_weight, neg_weight = entry_weights(alpha)
    losses = entrywise_loss(  # eq. 3
        pred_logits,
        gt_labels,
        positive=QualityFocalPositive(gamma, pos_weight),
        negative=FocalEntry(+1, neg_weight, gamma),
        pos_args=[ious / (best_ious[images] + EPS)],
    )
    return reduce_losses(losses, weights, reduction)
