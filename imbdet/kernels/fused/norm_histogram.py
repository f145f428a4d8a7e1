"""The histogram of gradient norms, in one launch.

A program adds up the entries of a tile bin by bin, from the lowest to the highest bin that occurs,
so that programs write to a bin once a tile, not once an entry. Numbers and sums are in float64.

Shape shorthand: M rows.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from imbdet.kernels.fused.entries import bin_of, sigmoid
from imbdet.kernels.fused.tiles import launch, load_tile, take_rows


@triton.jit
def _count(
    logits,
    row_stride,
    labels,
    num_rows,
    num_columns,
    weights,
    counts,
    num_bins,
    HAS_WEIGHTS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    rows, starts, label, is_row = take_rows(row_stride, labels, num_rows, ROWS)
    is_counted = is_row & (label >= 0)
    weight = tl.full((ROWS,), 1.0, tl.float64)
    if HAS_WEIGHTS:
        weight = tl.load(weights + rows, mask=is_counted, other=0.0)
    for first in range(0, num_columns, COLUMNS):
        columns, x, is_entry = load_tile(logits, starts, is_counted, first, num_columns, COLUMNS)
        x = x.to(tl.float32)
        norm = sigmoid(tl.where(columns == label[:, None], -x, x))
        place = bin_of(norm, num_bins)
        lowest = tl.min(tl.min(tl.where(is_entry, place, num_bins), axis=1), axis=0)
        highest = tl.max(tl.max(tl.where(is_entry, place, -1), axis=1), axis=0)
        for some in range(lowest, highest + 1):
            number = tl.sum((is_entry & (place == some)).to(tl.int32), axis=1)
            tl.atomic_add(counts + some, tl.sum(number.to(tl.float64) * weight, axis=0))


def count_norms(
    pred_logits: Tensor, gt_labels: Tensor, num_bins: int, weights: Tensor | None
) -> Tensor:
    """See :func:`imbdet.kernels.norm_histogram.norm_histogram`."""
    counts = pred_logits.new_zeros(num_bins, dtype=torch.float64)
    launch(
        _count,
        pred_logits,
        gt_labels,
        counts if weights is None else weights.double().contiguous(),
        counts,
        num_bins,
        HAS_WEIGHTS=weights is not None,
    )
    return counts
