"""Sums of steps over all entries of a matrix of logits, in one launch each way.

A program searches for the bucket of each entry among the ends of its segment. Most entries are
below all steps and need one comparison. Where all others of a tile share a bucket, as in the
beginning of a training, their sums are added at once, so that programs do not wait for each other
at the same number.

Shape shorthand: M rows, K columns, E ends of steps, B buckets.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from imbdet.kernels.fused.tiles import launch, load_tile, store_tile, take_rows
from imbdet.kernels.step_sums import Rows
from imbdet.kernels.steps import Lines, Steps
from imbdet.ops.sums import sum_by


@triton.jit
def _find(x, is_open, ends, first, last, num_rounds):
    """Places in [first, last]: first plus the number of the segment's ends at or below a score."""
    low, high = first + tl.zeros_like(x).to(tl.int32), last + tl.zeros_like(x).to(tl.int32)
    for _ in range(num_rounds):
        middle = (low + high) // 2
        is_searched = is_open & (low < high)
        end = tl.load(ends + middle, mask=is_searched, other=0.0)
        is_above = is_searched & (x >= end)
        low = tl.where(is_above, middle + 1, low)
        high = tl.where(is_searched & ~is_above, middle, high)
    return low


@triton.jit
def _know_rows(
    rows,
    is_ranked,
    segments,
    weights,
    ends,
    firsts,
    HAS_SEGMENTS: tl.constexpr,
    HAS_WEIGHTS: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Segment and weight of each row, first and last place of its segment's ends, lowest end."""
    segment = tl.zeros((ROWS,), tl.int64)
    if HAS_SEGMENTS:
        segment = tl.load(segments + rows, mask=is_ranked, other=0)
    weight = tl.full((ROWS,), 1.0, tl.float64)
    if HAS_WEIGHTS:
        weight = tl.load(weights + rows, mask=is_ranked, other=0.0)
    first = tl.load(firsts + segment).to(tl.int32)
    last = tl.load(firsts + segment + 1).to(tl.int32)
    has_end = is_ranked & (last > first)
    lowest = tl.load(ends + first, mask=has_end, other=float("inf"))
    return segment, weight, first, last, lowest


@triton.jit
def _find_buckets(x, is_open, segment, ends, first, last, bounds, num_rounds):
    """Buckets of open scores, and the scores clamped to the range of the ends."""
    place = _find(x, is_open, ends, first[:, None], last[:, None], num_rounds)
    clamped = tl.minimum(tl.maximum(x, tl.load(bounds)), tl.load(bounds + 1))
    return place + segment.to(tl.int32)[:, None], tl.where(x == x, clamped, x)


@triton.jit
def _add(
    logits,
    row_stride,
    labels,
    num_rows,
    num_columns,
    segments,
    weights,
    ends,
    firsts,
    bounds,
    num_rounds,
    sums,
    num_buckets,
    HAS_SEGMENTS: tl.constexpr,
    HAS_WEIGHTS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    rows, starts, label, _ = take_rows(row_stride, labels, num_rows, ROWS)
    is_ranked = label >= 0
    segment, weight, first, last, lowest = _know_rows(
        rows, is_ranked, segments, weights, ends, firsts, HAS_SEGMENTS, HAS_WEIGHTS, ROWS
    )
    for first_column in range(0, num_columns, COLUMNS):
        _columns, x, is_entry = load_tile(
            logits, starts, is_ranked, first_column, num_columns, COLUMNS
        )
        x = x.to(tl.float64)
        is_open = is_entry & ~(x < lowest[:, None])  # NaN is, too
        if tl.max(tl.max(is_open.to(tl.int32), axis=1), axis=0) > 0:
            bucket, value = _find_buckets(
                x, is_open, segment, ends, first, last, bounds, num_rounds
            )
            counted = tl.where(is_open, weight[:, None], 0.0)
            moment = tl.where(is_open, weight[:, None] * value, 0.0)
            largest = tl.max(tl.max(tl.where(is_open, bucket, -1), axis=1), axis=0)
            smallest = tl.min(tl.min(tl.where(is_open, bucket, num_buckets), axis=1), axis=0)
            if smallest == largest:
                tl.atomic_add(sums + largest, tl.sum(tl.sum(counted, axis=1), axis=0))
                tl.atomic_add(sums + num_buckets + largest, tl.sum(tl.sum(moment, axis=1), axis=0))
            else:
                tl.atomic_add(sums + bucket, counted, mask=is_open)
                tl.atomic_add(sums + num_buckets + bucket, moment, mask=is_open)


@triton.jit
def _evaluate(
    logits,
    row_stride,
    labels,
    num_rows,
    num_columns,
    segments,
    weights,
    ends,
    firsts,
    bounds,
    num_rounds,
    intercepts,
    slopes,
    values,
    HAS_SEGMENTS: tl.constexpr,
    HAS_WEIGHTS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    rows, starts, label, is_row = take_rows(row_stride, labels, num_rows, ROWS)
    is_ranked = label >= 0
    segment, weight, first, last, lowest = _know_rows(
        rows, is_ranked, segments, weights, ends, firsts, HAS_SEGMENTS, HAS_WEIGHTS, ROWS
    )
    for first_column in range(0, num_columns, COLUMNS):
        columns, x, is_entry = load_tile(logits, starts, is_row, first_column, num_columns, COLUMNS)
        x = x.to(tl.float64)
        is_open = is_entry & is_ranked[:, None] & ~(x < lowest[:, None])
        result = tl.zeros((ROWS, COLUMNS), tl.float64)
        if tl.max(tl.max(is_open.to(tl.int32), axis=1), axis=0) > 0:
            bucket, clamped = _find_buckets(
                x, is_open, segment, ends, first, last, bounds, num_rounds
            )
            intercept = tl.load(intercepts + bucket, mask=is_open, other=0.0)
            slope = tl.load(slopes + bucket, mask=is_open, other=0.0)
            result = tl.where(is_open, weight[:, None] * (intercept + slope * clamped), 0.0)
        store_tile(values, result.to(tl.float32), rows, columns, num_columns, is_entry)


class _Table(NamedTuple):
    """The ends of steps as kernels take them.

    Attributes:
        ends: (E,) float64 ends by segment, then by score; a single infinity if there are none.
        firsts: (G + 1,) int64 indices at which the ends of each segment begin, then E.
        bounds: (2,) float64 scores beyond which no step has a slope.
    """

    ends: Tensor
    firsts: Tensor
    bounds: Tensor

    @classmethod
    def of(cls, steps: Steps) -> "_Table":
        numbers = 2 * sum_by(steps.pos_segments, None, steps.num_segments).long()
        firsts = torch.cat([numbers.new_zeros(1), numbers.cumsum(dim=0)])
        ends, zero = steps.ends[steps.places], steps.ends.new_zeros(1)
        return cls(ends if len(ends) else zero + torch.inf, firsts, steps.bounds)


class FusedSums:
    """See :class:`imbdet.kernels.step_sums.StepSums`.

    Args:
        steps: the steps whose buckets are found.
    """

    def __init__(self, steps: Steps):
        self.steps = steps
        self.table = _Table.of(steps)

    def histogram(self, pred_logits: Tensor, rows: Rows) -> Tensor:
        sums = self.steps.ends.new_zeros(2, self.steps.num_buckets)
        self._launch(_add, pred_logits, rows, sums, self.steps.num_buckets)
        return sums

    def push(self, lines: Lines, pred_logits: Tensor, rows: Rows) -> Tensor:
        values = torch.empty(pred_logits.shape, dtype=pred_logits.dtype, device=pred_logits.device)
        self._launch(_evaluate, pred_logits, rows, lines.intercept, lines.slope, values)
        return values

    def _launch(self, kernel, pred_logits: Tensor, rows: Rows, *arguments) -> None:
        gt_labels, segments, weights, _ = rows
        launch(
            kernel,
            pred_logits,
            gt_labels,
            gt_labels if segments is None else segments.contiguous(),
            gt_labels if weights is None else weights.contiguous(),
            *self.table,
            len(self.steps.ends).bit_length(),
            *arguments,
            HAS_SEGMENTS=segments is not None,
            HAS_WEIGHTS=weights is not None,
        )
