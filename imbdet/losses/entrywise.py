"""Losses that are a sum over the entries of a (M, K) matrix of logits, one sigmoid per entry.

Almost every entry is a negative, so the loss is computed as if all were, chunk after chunk, and the
few positive entries are put right. Neither targets nor temporaries of the size of the logits exist;
the gradient is computed in the backward pass, with the incoming gradient folded in.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from imbdet.losses.chunks import iterate_chunks
from imbdet.losses.labels import check_labels


class EntryLoss(NamedTuple):
    """What an entry with logit x pays: elementwise functions of x (float32 or float64)."""

    value: Callable[[Tensor], Tensor]
    grad: Callable[[Tensor], Tensor]


def entrywise_loss(
    pred_logits: Tensor, gt_labels: Tensor, *, positive: EntryLoss, negative: EntryLoss
) -> Tensor:
    """Sum over the entries of each row.

    Args:
        pred_logits: (M, K) logits of any floating type; the sums are in float32 at least.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored (the row pays nothing).
        positive: loss of the entry (row, label of the row).
        negative: loss of every other entry.

    Returns:
        (M,) float. Differentiable once.
    """
    check_labels(pred_logits, gt_labels, pred_logits.shape[-1])
    return _EntrywiseLoss.apply(pred_logits, gt_labels, positive, negative)


class _EntrywiseLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, pred_logits, gt_labels, positive, negative):
        ctx.save_for_backward(pred_logits, gt_labels)
        ctx.entry_losses = positive, negative
        dtype = torch.promote_types(pred_logits.dtype, torch.float32)
        losses = pred_logits.new_empty(len(pred_logits), dtype=dtype)
        for rows, logits, pos_entries, ignored in iterate_chunks(pred_logits, gt_labels):
            values = negative.value(logits)
            values[pos_entries] = positive.value(logits[pos_entries])
            losses[rows] = values.sum(dim=1).masked_fill_(ignored, 0)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_losses):
        pred_logits, gt_labels = ctx.saved_tensors
        positive, negative = ctx.entry_losses
        grad_logits = torch.empty_like(pred_logits)
        for rows, logits, pos_entries, ignored in iterate_chunks(pred_logits, gt_labels):
            grads = negative.grad(logits)
            grads[pos_entries] = positive.grad(logits[pos_entries])
            grads *= grad_losses[rows, None]
            grad_logits[rows] = grads.masked_fill_(ignored[:, None], 0)
        return grad_logits, None, None, None
