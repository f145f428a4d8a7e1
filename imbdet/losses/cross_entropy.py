"""Cross-entropy: over all classes at once (softmax), or one binary problem per class (sigmoid)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from imbdet.kernels.entrywise import entry_weights, entrywise_loss, fused_as
from imbdet.losses.class_cross_entropy import used_logits
from imbdet.losses.reduction import reduce_losses
from imbdet.methods import CLS_LOSSES
from imbdet.methods.options import Balance
from imbdet.ops.labels import check_labels


@CLS_LOSSES.register(
    "softmax_cross_entropy",
    "Cross-entropy over the classes and the background, of the RoI heads alone.",
    activation="softmax",
)
def softmax_cross_entropy_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    *,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """Cross-entropy of the softmax over K classes and the background.

    Args:
        pred_logits: (M, K + 1) logits, the background last.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        weights: (M,) factors of the samples, or None.
        reduction: "none" or "sum".

    Returns:
        (M,) losses, 0 for ignored samples; or their sum.
    """
    check_labels(pred_logits, gt_labels, num_classes=pred_logits.shape[-1] - 1)
    logits = used_logits(pred_logits, gt_labels)
    losses = F.cross_entropy(logits, gt_labels, ignore_index=-1, reduction="none")
    return reduce_losses(losses, weights, reduction)


@CLS_LOSSES.register(
    "sigmoid_cross_entropy",
    "Binary cross-entropy of each class, balanced if its ALPHA is not negative.",
)
def sigmoid_cross_entropy_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    *,
    alpha: Balance = -1.0,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """Binary cross-entropy of each class's sigmoid, summed over the classes.

    Args:
        pred_logits: (M, K) logits.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        alpha: weight of positive entries, negative ones have 1 - alpha (balanced cross-entropy,
            1708.02002, eq. 3); below 0: both 1.
        weights: (M,) factors of the samples, or None.
        reduction: "none" or "sum".

    Returns:
        (M,) losses, 0 for ignored samples; or their sum.
    """
    pos_weight, neg_weight = entry_weights(alpha)
    losses = entrywise_loss(
        pred_logits,
        gt_labels,
        positive=CrossEntropyEntry(-1, pos_weight),
        negative=CrossEntropyEntry(+1, neg_weight),
    )
    return reduce_losses(losses, weights, reduction)


@fused_as("cross_entropy", "sign", "weight")
@dataclass(frozen=True)
class CrossEntropyEntry:
    """Cross-entropy of one class's sigmoid; see :class:`imbdet.kernels.entrywise.EntryLoss`.

    Attributes:
        sign: +1 of a negative entry, -1 of a positive one, its mirror image.
        weight: factor of the loss.
    """

    sign: int
    weight: float

    def value(self, logits: Tensor) -> Tensor:
        return F.softplus(self.sign * logits).mul_(self.weight)

    def grad(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(self.sign * logits).mul_(self.sign * self.weight)
