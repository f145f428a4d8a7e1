"""Losses of the entries of a matrix of logits, in one launch each way.

The loss of a row's positive entry is computed once a row, beside the loop over the negative ones.

Shape shorthand: M rows, K columns.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F

from imbdet.kernels.entrywise import EntryLoss
from imbdet.kernels.fused.entries import FusedEntry, fused_entry
from imbdet.kernels.fused.tiles import launch, load_tile, store_tile, take_rows
from imbdet.ops.labels import has_positive


@triton.jit
def _of_positives(
    logits,
    starts,
    labels,
    targets,
    rows,
    num_columns,
    FUNCTION: tl.constexpr,
    p0,
    p1,
    p2,
    table,
    size,
):
    """The function's value at the positive entry of each row; 0 for rows without one."""
    is_positive = (labels >= 0) & (labels < num_columns)
    x = tl.load(logits + starts + tl.maximum(labels, 0), mask=is_positive, other=0.0)
    y = tl.load(targets + rows, mask=is_positive, other=0.0)
    return tl.where(is_positive, FUNCTION(x.to(tl.float32), y, p0, p1, p2, table, size), 0.0)


@triton.jit
def _pay(
    logits,
    row_stride,
    labels,
    num_rows,
    num_columns,
    targets,
    losses,
    NEGATIVE: tl.constexpr,
    n0,
    n1,
    n2,
    neg_table,
    neg_size,
    POSITIVE: tl.constexpr,
    p0,
    p1,
    p2,
    pos_table,
    pos_size,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    rows, starts, label, is_row = take_rows(row_stride, labels, num_rows, ROWS)
    total = tl.zeros((ROWS,), tl.float32)
    for first in range(0, num_columns, COLUMNS):
        columns, x, is_entry = load_tile(logits, starts, is_row, first, num_columns, COLUMNS)
        values = NEGATIVE(x.to(tl.float32), 0.0, n0, n1, n2, neg_table, neg_size)
        is_negative = is_entry & (columns != label[:, None])
        total += tl.sum(tl.where(is_negative, values, 0.0), axis=1)
    of_positive = _of_positives(
        logits, starts, label, targets, rows, num_columns, POSITIVE, p0, p1, p2, pos_table, pos_size
    )
    total += of_positive
    tl.store(losses + rows, tl.where(label < 0, 0.0, total), mask=is_row)


@triton.jit
def _derive(
    logits,
    row_stride,
    labels,
    num_rows,
    num_columns,
    targets,
    grad_losses,
    grads,
    NEGATIVE: tl.constexpr,
    n0,
    n1,
    n2,
    neg_table,
    neg_size,
    POSITIVE: tl.constexpr,
    p0,
    p1,
    p2,
    pos_table,
    pos_size,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    rows, starts, label, is_row = take_rows(row_stride, labels, num_rows, ROWS)
    of_positive = _of_positives(
        logits, starts, label, targets, rows, num_columns, POSITIVE, p0, p1, p2, pos_table, pos_size
    )
    factor = tl.load(grad_losses + rows, mask=is_row, other=0.0)
    for first in range(0, num_columns, COLUMNS):
        columns, x, is_entry = load_tile(logits, starts, is_row, first, num_columns, COLUMNS)
        slopes = NEGATIVE(x.to(tl.float32), 0.0, n0, n1, n2, neg_table, neg_size)
        slopes = tl.where(columns == label[:, None], of_positive[:, None], slopes)
        slopes = tl.where(label[:, None] < 0, 0.0, slopes * factor[:, None])
        store_tile(grads, slopes, rows, columns, num_columns, is_entry)


class FusedEntries:
    """See :class:`imbdet.kernels.entrywise.EntryKernel`."""

    def __init__(self, positive: FusedEntry, negative: FusedEntry):
        self.positive, self.negative = positive, negative

    def losses(self, pred_logits: Tensor, gt_labels: Tensor, pos_args: Sequence[Tensor]) -> Tensor:
        losses = torch.empty(len(pred_logits), dtype=torch.float32, device=pred_logits.device)
        functions = self.positive.value, self.negative.value
        self._launch(_pay, functions, pred_logits, gt_labels, pos_args, losses)
        return losses

    def grads(
        self,
        pred_logits: Tensor,
        gt_labels: Tensor,
        pos_args: Sequence[Tensor],
        grad_losses: Tensor,
    ) -> Tensor:
        grads = torch.empty(pred_logits.shape, dtype=pred_logits.dtype, device=pred_logits.device)
        functions = self.positive.grad, self.negative.grad
        grad_losses = grad_losses.float().contiguous()
        self._launch(_derive, functions, pred_logits, gt_labels, pos_args, grad_losses, grads)
        return grads

    def _launch(
        self, kernel, functions, pred_logits: Tensor, gt_labels: Tensor, pos_args, *results: Tensor
    ) -> None:
        positive, negative = functions
        launch(
            kernel,
            pred_logits,
            gt_labels,
            _of_rows(pos_args, gt_labels, pred_logits.shape[1]),
            *results,
            negative,
            *self.negative.numbers,
            *_table(self.negative, pred_logits),
            positive,
            *self.positive.numbers,
            *_table(self.positive, pred_logits),
        )


def fused_entries(positive: EntryLoss, negative: EntryLoss, num_args: int) -> FusedEntries | None:
    """The kernels of these losses; None if there are none.

    Args:
        positive: loss of positive entries.
        negative: loss of all other entries.
        num_args: number of tensors on which a positive depends.
    """
    parts = fused_entry(positive), fused_entry(negative)
    if parts[0] is None or parts[1] is None or num_args > 1:
        return None
    return FusedEntries(parts[0], parts[1])


def _of_rows(pos_args: Sequence[Tensor], gt_labels: Tensor, num_columns: int) -> Tensor:
    """(M,) float32 targets of the rows that have a positive; any tensor if there are no targets."""
    if not pos_args:
        return gt_labels
    # Kernels do not read the targets of other rows, nor the padding that stands in without any.
    places = has_positive(gt_labels, num_columns).cumsum(dim=0) - 1
    return F.pad(pos_args[0].float(), (0, 1))[places]


def _table(entry: FusedEntry, logits: Tensor) -> tuple[Tensor, int]:
    """The table of an entry and its size; any tensor and 0 if it has none."""
    return (logits, 0) if entry.table is None else (entry.table.contiguous(), len(entry.table))
