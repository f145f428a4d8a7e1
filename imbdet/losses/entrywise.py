"""Losses that are a sum over the entries of a (M, K) matrix of logits, one sigmoid per entry.

Almost every entry is a negative, so the loss is computed as if all were, chunk after chunk, and the
few positive entries are put right. Neither targets nor temporaries of the size of the logits exist;
the gradient is computed in the backward pass, with the incoming gradient folded in.

Shape shorthand: M samples, K classes, P positive entries, C rows of a chunk.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from imbdet.losses.labels import check_labels, positive_entries

# A chunk on the CPU fits the cache; on other devices few large chunks keep the number of kernels
# low and the temporaries bounded.
CHUNK_ENTRIES_CPU = 2**17
CHUNK_ENTRIES = 2**24


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


class _Chunk(NamedTuple):
    rows: slice
    logits: Tensor  # [C, K] in float32 at least
    pos_entries: tuple[Tensor, Tensor]  # rows within the chunk, classes
    ignored: Tensor  # [C] bool


def _chunks(pred_logits: Tensor, gt_labels: Tensor) -> Iterator[_Chunk]:
    num_rows, num_classes = pred_logits.shape
    entries = CHUNK_ENTRIES_CPU if pred_logits.device.type == "cpu" else CHUNK_ENTRIES
    size = max(entries // max(num_classes, 1), 1)
    starts = torch.arange(0, num_rows + size, size)
    pos_rows, pos_classes = positive_entries(gt_labels, num_classes)
    cuts = torch.searchsorted(pos_rows, starts.to(pos_rows.device)).tolist()
    dtype = torch.promote_types(pred_logits.dtype, torch.float32)
    for start, cut, next_cut in zip(starts.tolist(), cuts, cuts[1:], strict=False):
        rows = slice(start, start + size)
        pos_entries = pos_rows[cut:next_cut] - start, pos_classes[cut:next_cut]
        yield _Chunk(rows, pred_logits[rows].to(dtype), pos_entries, gt_labels[rows] < 0)


class _EntrywiseLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, pred_logits, gt_labels, positive, negative):
        ctx.save_for_backward(pred_logits, gt_labels)
        ctx.entry_losses = positive, negative
        dtype = torch.promote_types(pred_logits.dtype, torch.float32)
        losses = pred_logits.new_empty(len(pred_logits), dtype=dtype)
        for rows, logits, pos_entries, ignored in _chunks(pred_logits, gt_labels):
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
        for rows, logits, pos_entries, ignored in _chunks(pred_logits, gt_labels):
            grads = negative.grad(logits)
            grads[pos_entries] = positive.grad(logits[pos_entries])
            grads *= grad_losses[rows, None]
            grad_logits[rows] = grads.masked_fill_(ignored[:, None], 0)
        return grad_logits, None, None, None
