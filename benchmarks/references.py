"""What the losses are measured against: the same numbers computed the usual way."""

import torch
from torch import Tensor
from torch.nn import functional as F


class PairLoopAP(torch.autograd.Function):
    """AP loss by a loop over the positives, each compared with all entries at once."""

    @staticmethod
    def forward(ctx, pred_logits: Tensor, gt_labels: Tensor, delta: float) -> Tensor:
        rows = (gt_labels < pred_logits.shape[1]).nonzero().squeeze(1)
        is_negative = torch.ones_like(pred_logits, dtype=torch.bool)
        is_negative[rows, gt_labels[rows]] = False
        positives = pred_logits[rows, gt_labels[rows]]
        # No score further below has a part in any step.
        is_relevant = is_negative & (pred_logits > positives.min() - delta)
        negatives = pred_logits[is_relevant]
        order = positives.argsort()
        highest, precisions = positives.new_zeros(()), torch.zeros_like(positives)
        pos_grads, neg_grads = torch.zeros_like(positives), torch.zeros_like(negatives)
        for i in order.tolist():
            above = ((positives - positives[i]) / (2 * delta) + 0.5).clamp(0, 1)
            wrong = ((negatives - positives[i]) / (2 * delta) + 0.5).clamp(0, 1)
            rank_among_positives = above.sum() + 0.5
            rank = rank_among_positives + wrong.sum()
            precision = rank_among_positives / rank
            highest = torch.maximum(highest, precision)
            precisions[i], pos_grads[i] = highest, highest - 1
            share = (1 - highest) / (1 - precision).clamp(min=torch.finfo(precision.dtype).eps)
            neg_grads += wrong * (share / rank)
        grads = torch.zeros_like(pred_logits)
        grads[is_relevant] = neg_grads
        grads[rows, gt_labels[rows]] = pos_grads
        ctx.save_for_backward(grads / len(positives))
        return 1 - precisions.mean()

    @staticmethod
    def backward(ctx, grad_loss: Tensor) -> tuple[Tensor, None, None]:
        (grads,) = ctx.saved_tensors
        return grad_loss * grads, None, None


def pair_loop_ap_loss(pred_logits: Tensor, gt_labels: Tensor, *, delta: float = 1.0) -> Tensor:
    """See :func:`imbdet.losses.ap_loss`; needs a positive."""
    return PairLoopAP.apply(pred_logits, gt_labels, delta)


def one_hot_focal_loss(
    pred_logits: Tensor, gt_labels: Tensor, *, alpha: float = 0.25, gamma: float = 2.0
) -> Tensor:
    """Sum of the focal loss with a target for each entry, differentiated by autograd."""
    num_classes = pred_logits.shape[1]
    targets = F.one_hot(gt_labels, num_classes + 1)[:, :num_classes].to(pred_logits.dtype)
    scores = torch.sigmoid(pred_logits)
    cross_entropy = F.binary_cross_entropy_with_logits(pred_logits, targets, reduction="none")
    wrongness = scores * (1 - targets) + (1 - scores) * targets
    weights = alpha * targets + (1 - alpha) * (1 - targets)
    return (weights * wrongness**gamma * cross_entropy).sum()
