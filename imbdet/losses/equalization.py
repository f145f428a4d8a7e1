"""Equalization loss (EQL): examples of other classes do not discourage rare ones.

Tan et al., "Equalization Loss for Long-Tailed Object Recognition", CVPR 2020,
https://arxiv.org/abs/2003.05176
"""

from torch import Tensor

from imbdet.losses.class_cross_entropy import check_class_numbers, weighted_sigmoid_cross_entropy
from imbdet.losses.reduction import reduce_losses
from imbdet.methods import CLS_LOSSES
from imbdet.methods.options import Share
from imbdet.ops.labels import check_labels


@CLS_LOSSES.register(
    "eql",
    "Sigmoid cross-entropy in which objects of other classes do not discourage rare ones.",
    "Tan et al., CVPR 2020, https://arxiv.org/abs/2003.05176",
    balances_classes=True,
    numbers="image_shares",
)
def equalization_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    frequencies: Tensor,
    *,
    threshold: Share = 0.00177,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """Sigmoid cross-entropy without the losses of rare classes for objects of other classes.

    Background samples have losses of all classes, so that rare ones still learn low scores there.

    Args:
        pred_logits: (M, K) logits.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        frequencies: (K,) share of the training images that have the class, in [0, 1].
        threshold: frequency below which a class is rare; published: 0.00177 for LVIS v0.5, 0.0011
            for LVIS v1.
        weights: (M,) factors of the samples, or None.
        reduction: "none" or "sum"; the published code divides the sum by the number of samples.

    Returns:
        (M,) losses, 0 for ignored samples; or their sum.

    Raises:
        ValueError: the shapes differ, or a frequency is negative.
    """
    check_labels(pred_logits, gt_labels)
    num_classes = pred_logits.shape[1]
    check_class_numbers("frequencies", frequencies, num_classes)
    is_rare = frequencies.to(pred_logits.device) < threshold
    is_foreground = (gt_labels >= 0) & (gt_labels < num_classes)
    is_spared = is_foreground[:, None] & is_rare  # w = 0 (eq. 7)
    losses = weighted_sigmoid_cross_entropy(  # eq. 6
        pred_logits, gt_labels, pos_weights=is_rare.new_ones(num_classes), neg_weights=~is_spared
    )
    return reduce_losses(losses, weights, reduction)
