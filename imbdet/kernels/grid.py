"""Buckets of scores by a look-up instead of a search, for many scores on a CPU.

A binary search among the ends of all ramps costs tens of nanoseconds for each score. The number of
a score's cell takes little arithmetic, and nearly all cells lie within one bucket. Only scores in
cells that hold an end are searched. The result is exact.

Shape shorthand: N scores, G segments, B buckets, C cells. Scores are float32, of any shape.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from imbdet.kernels.cells import EqualCells, PatternCells
from imbdet.kernels.steps import Lines, Part, Parts, Steps
from imbdet.ops.masks import true_idxs

# More cells leave fewer scores to search; fewer cells are built faster and stay in the cache.
CELLS_PER_END = 64
LOGITS_PER_CELL = 16
MIN_CELLS, MAX_CELLS = 2**12, 2**18


class Grid:
    """Looks up the bucket of a score by its cell; see :class:`imbdet.kernels.step_sums.PartSums`.

    Args:
        steps: the steps whose buckets are found.
        cells: function of scores and segments that returns (N,) int32 cells.
        buckets: (C,) int64, the bucket of all scores in a cell, if it holds no end.
        has_end: (C,) bool, whether a cell holds ends.
    """

    def __init__(
        self, steps: Steps, cells: EqualCells | PatternCells, buckets: Tensor, has_end: Tensor
    ):
        self.steps = steps
        self.cells = cells
        self.buckets = buckets.where(~has_end, 0)
        self.has_end = has_end
        self.has_any_end = bool(has_end.any())
        # No step has a slope beyond these. Clamping by numbers is faster than by tensors.
        self.bounds = steps.bounds.tolist()

    def histogram(self, parts: Parts) -> Tensor:
        total = self.steps.ends.new_zeros(2, self.steps.num_buckets)
        per_cell = total.new_zeros(2, len(self.buckets))
        for part in parts:
            moments, weights = part.scores.clamp(*self.bounds).flatten(), part.flat_weights
            if weights is not None:
                moments = weights * moments
            bucket = self.common_bucket(part.scores, part.segments)
            if bucket is not None:
                total[0, bucket] += len(moments) if weights is None else weights.sum()
                total[1, bucket] += moments.sum(dtype=torch.float64)
                continue
            cells = self.cells(part.scores, part.segments)
            moments, places = moments.double(), cells.long()
            weights = torch.ones_like(moments) if weights is None else weights
            for sums, values in zip(per_cell, (weights, moments), strict=True):
                sums.scatter_add_(0, places, values)
            total += self.steps.bucket_sums(part.take(self.searched(cells)))
        per_cell.masked_fill_(self.has_end, 0)
        return total.index_add_(1, self.buckets, per_cell)

    def evaluator(self, lines: Lines) -> Callable[[Tensor, Tensor | None], Tensor]:
        intercept, slope = (values[self.buckets] for values in (lines.intercept, lines.slope))
        # A complex number holds both, so that one look-up finds them.
        pairs = torch.complex(intercept, slope)
        return partial(self._evaluate, lines, pairs)

    def _evaluate(
        self, lines: Lines, pairs: Tensor, scores: Tensor, segments: Tensor | None
    ) -> Tensor:
        clamped = scores.clamp(*self.bounds).double()
        bucket = self.common_bucket(scores, segments)
        if bucket is not None:
            return torch.addcmul(lines.intercept[bucket], lines.slope[bucket], clamped)
        cells = self.cells(scores, segments)
        intercept, slope = torch.view_as_real(pairs.index_select(0, cells)).unbind(dim=1)
        values = torch.addcmul(intercept, slope, clamped.flatten())
        idxs = self.searched(cells)
        searched = Part(scores, segments).take(idxs)
        values[idxs] = lines.at(searched.scores, searched.segments)
        return values.view(scores.shape)

    def searched(self, cells: Tensor) -> Tensor:
        """Indices of the scores whose cells (N,) hold an end."""
        if not self.has_any_end:
            return torch.empty(0, dtype=torch.int64)
        return true_idxs(self.has_end.index_select(0, cells))

    def common_bucket(self, scores: Tensor, segments: Tensor | None) -> int | None:
        """The bucket that holds all scores, if one does, as is common early in a training."""
        if scores.numel() == 0:
            return 0
        extremes = torch.stack(torch.aminmax(scores)).double()
        if segments is not None:
            segments = torch.stack(torch.aminmax(segments))
        first, last = self.steps.bucket(extremes, segments).tolist()
        return first if first == last and not extremes.isnan().any() else None


def make_grid(steps: Steps, logits: Tensor) -> Grid:
    """The grid for logits of this type, of at most 32 bits, and number."""
    num_patterns = steps.num_segments * PatternCells.per_segment
    if logits.element_size() == 2 and logits.numel() > num_patterns:
        return _pattern_grid(steps, logits.dtype)
    num_cells = min(CELLS_PER_END * len(steps.ends), logits.numel() // LOGITS_PER_CELL)
    num_cells = min(max(num_cells, MIN_CELLS), MAX_CELLS)
    return _equal_grid(steps, num_cells // steps.num_segments + 2)


def _equal_grid(steps: Steps, cells_per_segment: int) -> Grid:
    segments, ends = steps.end_segments, steps.ends[steps.places]
    cells = EqualCells(ends, segments, steps.num_segments, cells_per_segment)
    # A segment has one bucket more than ends.
    own_segment = torch.arange(steps.num_segments).repeat_interleave(cells_per_segment)
    num_ends = torch.bincount(cells(ends.float(), segments), minlength=len(own_segment))
    return Grid(steps, cells, num_ends.cumsum(dim=0) + own_segment, num_ends > 0)


def _pattern_grid(steps: Steps, dtype: torch.dtype) -> Grid:
    cells = PatternCells(dtype)
    segments = torch.arange(steps.num_segments)[:, None]
    buckets = steps.bucket(cells.values.repeat(len(segments), 1), segments).flatten()
    return Grid(steps, cells, buckets, torch.zeros_like(buckets, dtype=torch.bool))
