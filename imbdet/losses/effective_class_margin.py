"""Effective class margins (ECM): the rarer a class, the larger the margin of its examples.

Cho and Krähenbühl, "Long-tail Detection with Effective Class-Margins", ECCV 2022,
https://arxiv.org/abs/2301.09724
"""

import torch
from torch import Tensor

from imbdet.losses.class_cross_entropy import check_class_numbers, weighted_sigmoid_cross_entropy
from imbdet.losses.reduction import reduce_losses
from imbdet.methods import CLS_LOSSES
from imbdet.methods.options import Positive
from imbdet.ops.labels import check_labels
from imbdet.ops.precision import at_least_float32


@CLS_LOSSES.register(
    "ecm",
    "Sigmoid cross-entropy with effective class margins, of the classes and of the background.",
    "Cho and Krähenbühl, ECCV 2022, https://arxiv.org/abs/2301.09724",
    activation="sigmoid beside background",
    balances_classes=True,
    numbers="images",
)
def effective_class_margin_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    counts: Tensor,
    *,
    background_ratio: Positive = 6.3313,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """Sigmoid cross-entropy of 2 x and a margin, of the classes and of the background, weighted.

    With n of S samples in a class, a = (S - n) / n and r = a^(1/4), positives get the margin
    ln(1 + 1/r) and negatives ln(1 + r). These compare exp(x + positive margin) with
    exp(-x + negative margin), hence 2 x. The weight is a ln((1 + a) / a). Scores are made without
    margins: :class:`imbdet.structures.classifiers.SigmoidBesideBackground`.

    Args:
        pred_logits: (M, K + 1) logits, the background last, as one more sigmoid.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        counts: (K,) number n of training images with the class; below 1 counts as 1.
        background_ratio: samples of the background for each sample of a class.
        weights: (M,) factors of the samples, or None.
        reduction: "none" or "sum"; the published code divides the sum by the number of samples.

    Returns:
        (M,) losses, 0 for ignored samples; or their sum.

    Raises:
        ValueError: the shapes differ, or a count is negative.
    """
    num_classes = pred_logits.shape[-1] - 1
    check_labels(pred_logits, gt_labels, num_classes)
    check_class_numbers("counts", counts, num_classes)
    class_weights, margins = _weights_and_margins(counts, background_ratio)
    logits = 2 * at_least_float32(pred_logits)
    class_weights = class_weights.to(logits)
    losses = weighted_sigmoid_cross_entropy(  # eq. 10
        logits + margins.to(logits), gt_labels, pos_weights=class_weights, neg_weights=class_weights
    )
    return reduce_losses(losses, weights, reduction)


def _weights_and_margins(counts: Tensor, background_ratio: float) -> tuple[Tensor, Tensor]:
    """(K + 1,) weights, and (K + 1,) positive minus negative margins, in float64."""
    counts = counts.double().clamp(min=1)
    counts = torch.cat([counts, background_ratio * counts.sum(dim=0, keepdim=True)])
    odds = (counts.sum() - counts) / counts
    margin_ratio = odds**0.25  # eq. 8
    margins = torch.log1p(1 / margin_ratio) - torch.log1p(margin_ratio)  # eq. 11
    return odds * torch.log1p(1 / odds), margins  # theorem 2
