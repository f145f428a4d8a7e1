"""Softmax of the scores over the negative entries of each row, in one launch each way.

The sums of a row are in float32, relative to the highest score so far, by which they are rescaled.
Their results, and the differences of scores and log-sum-exps, are in float64.

Shape shorthand: M rows, K columns.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from imbdet.kernels.fused.entries import sigmoid
from imbdet.kernels.fused.tiles import launch, load_tile, store_tile, take_rows


@triton.jit
def _reduce(
    logits,
    row_stride,
    labels,
    num_rows,
    num_columns,
    masses,
    means,
    TEMPERATURE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    rows, starts, label, is_row = take_rows(row_stride, labels, num_rows, ROWS)
    highest = tl.full((ROWS,), -1.0, tl.float32)  # below any negative
    total = tl.zeros((ROWS,), tl.float32)
    moment = tl.zeros((ROWS,), tl.float32)
    for first in range(0, num_columns, COLUMNS):
        columns, x, is_entry = load_tile(logits, starts, is_row, first, num_columns, COLUMNS)
        is_negative = is_entry & (columns != label[:, None])
        score = tl.where(is_negative, sigmoid(x.to(tl.float32)), -1.0)
        higher = tl.maximum(highest, tl.max(score, axis=1))
        shrinkage = tl.exp((highest - higher) / TEMPERATURE)
        weight = tl.exp((score - higher[:, None]) / TEMPERATURE)
        weight = tl.where(is_negative, weight, 0.0)
        total = total * shrinkage + tl.sum(weight, axis=1)
        moment = moment * shrinkage + tl.sum(weight * score, axis=1)
        highest = higher
    is_empty = (label < 0) | (total == 0)
    total = tl.where(is_empty, 1.0, total)
    mass = highest.to(tl.float64) / TEMPERATURE + tl.log(total.to(tl.float64))
    mean = moment.to(tl.float64) / total.to(tl.float64)
    tl.store(masses + rows, tl.where(is_empty, float("-inf"), mass), mask=is_row)
    tl.store(means + rows, tl.where(is_empty, 0.0, mean), mask=is_row)


@triton.jit
def _derive(
    logits,
    row_stride,
    labels,
    num_rows,
    num_columns,
    masses,
    means,
    grad_masses,
    grad_means,
    grads,
    TEMPERATURE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    rows, starts, label, is_row = take_rows(row_stride, labels, num_rows, ROWS)
    level = tl.load(masses + rows, mask=is_row, other=0.0) * TEMPERATURE
    mean = tl.load(means + rows, mask=is_row, other=0.0).to(tl.float32)
    grad_mass = tl.load(grad_masses + rows, mask=is_row, other=0.0)
    grad_mean = tl.load(grad_means + rows, mask=is_row, other=0.0)
    # d mass / dp_j = q_j / temperature,    d mean / dp_j = q_j (1 + (p_j - mean) / temperature)
    slope = (grad_mean / TEMPERATURE).to(tl.float32)
    intercept = (grad_mass / TEMPERATURE + grad_mean).to(tl.float32)
    for first in range(0, num_columns, COLUMNS):
        columns, x, is_entry = load_tile(logits, starts, is_row, first, num_columns, COLUMNS)
        x = x.to(tl.float32)
        score = sigmoid(x)
        share = tl.exp((score.to(tl.float64) - level[:, None]).to(tl.float32) / TEMPERATURE)
        grad = share * (intercept[:, None] + slope[:, None] * (score - mean[:, None]))
        grad = tl.where(label[:, None] < 0, 0.0, grad * score * sigmoid(-x))
        store_tile(grads, grad, rows, columns, num_columns, is_entry)


class FusedSoftmax:
    """See :class:`imbdet.kernels.negative_softmax.SoftmaxKernel`."""

    def __init__(self, temperature: float):
        self.temperature = temperature

    def reduce(self, pred_logits: Tensor, gt_labels: Tensor) -> tuple[Tensor, Tensor]:
        masses = pred_logits.new_empty(len(pred_logits), dtype=torch.float64)
        means = torch.empty_like(masses)
        launch(_reduce, pred_logits, gt_labels, masses, means, TEMPERATURE=self.temperature)
        return masses, means

    def grads(
        self,
        pred_logits: Tensor,
        gt_labels: Tensor,
        masses: Tensor,
        means: Tensor,
        grad_masses: Tensor,
        grad_means: Tensor,
    ) -> Tensor:
        grads = torch.empty(pred_logits.shape, dtype=pred_logits.dtype, device=pred_logits.device)
        launch(
            _derive,
            pred_logits,
            gt_labels,
            masses,
            means,
            grad_masses.contiguous(),
            grad_means.contiguous(),
            grads,
            TEMPERATURE=self.temperature,
        )
        return grads
