"""The histogram of gradient norms of sigmoid cross-entropy over the entries of a matrix of logits.

The norm of an entry's gradient is |p - p*|, in [0, 1], and falls into bins of equal width.

Shape shorthand: M rows, K classes.
"""

import torch
from torch import Tensor

from imbdet.kernels.backend import is_fused
from imbdet.kernels.chunks import iterate_chunks
from imbdet.ops.sums import sum_by


@torch.no_grad()
def norm_histogram(
    pred_logits: Tensor, gt_labels: Tensor, num_bins: int, weights: Tensor | None = None
) -> Tensor:
    """(bins,) float64 number of entries in each bin, or the sum of the weights of their rows.

    Args:
        pred_logits: (M, K) logits.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored (the row is not counted).
        num_bins: number of bins of the norm; the last one includes 1.
        weights: (M,) weights of the rows, or None for ones.
    """
    if is_fused(pred_logits):
        from imbdet.kernels.fused.norm_histogram import count_norms  # Triton is not everywhere

        return count_norms(pred_logits, gt_labels, num_bins, weights)
    histogram = pred_logits.new_zeros(num_bins, dtype=torch.float64)
    for chunk in iterate_chunks(pred_logits, gt_labels):
        norms = torch.sigmoid(chunk.logits)
        norms[chunk.pos_entries] = torch.sigmoid(-chunk.logits[chunk.pos_entries])
        own = None if weights is None else weights[chunk.rows]
        if chunk.is_ignored.any():
            is_counted = ~chunk.is_ignored
            norms, own = norms[is_counted], None if own is None else own[is_counted]
        histogram += count_bins(bins_of(norms, num_bins), num_bins, own)
    return histogram


def bins_of(norms: Tensor, num_bins: int) -> Tensor:
    """(N,) int32 bins of N norms of any shape, in [0, 1]; the last one includes a norm of 1."""
    return (norms * num_bins).int().clamp_(0, num_bins - 1).flatten()


def count_bins(bins: Tensor, num_bins: int, weights: Tensor | None) -> Tensor:
    """(bins,) float64 number of entries in each bin, or the sum of the weights of their rows."""
    if weights is not None:
        weights = weights.detach().repeat_interleave(len(bins) // max(len(weights), 1))
    return sum_by(bins, weights, num_bins)
