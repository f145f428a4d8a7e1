"""Cells: sets of scores whose number is cheap to compute from a score.

Within a segment the number never decreases with the score, except in :class:`PatternCells`, where
each cell is a single score. Scores are float32 of any shape; their segments int64 of a shape that
broadcasts to it, or None if there is one segment.
"""

import torch
from torch import Tensor


class EqualCells:
    """Cells of equal width over the range of the ends of each segment.

    The arithmetic from a score to its cell is monotone, rounding included.

    Args:
        ends: (2P,) float64 ends of steps, grouped by segment.
        segments: (2P,) int64 segments of the ends.
        num_segments: G.
        per_segment: number of cells of each segment, at least 2.
    """

    def __init__(self, ends: Tensor, segments: Tensor, num_segments: int, per_segment: int):
        self.per_segment = per_segment
        low, high = (
            ends.new_zeros(num_segments).scatter_reduce(0, segments, ends, how, include_self=False)
            for how in ("amin", "amax")
        )
        # Scores beyond the ends get cells of their own.
        margin = (high - low).clamp(min=1) / 32
        low, high = low - margin, high + margin
        largest = torch.finfo(torch.float32).max
        self.low = low.clamp(-largest, largest).float()
        self.scale = ((self.per_segment - 1) / (high - low)).float()

    def __call__(self, scores: Tensor, segments: Tensor | None) -> Tensor:
        """(N,) int32 cells of scores; NaN falls in the first cell of its segment."""
        low: Tensor | float
        scale: Tensor | float
        if segments is None:  # numbers are faster than tensors of one
            low, scale = float(self.low), float(self.scale)
        else:
            low, scale = self.low[segments], self.scale[segments]
        cells = scores.sub(low).mul_(scale).clamp_(0, self.per_segment - 1).int().clamp_(min=0)
        return _of_segments(cells, segments, self.per_segment)


class PatternCells:
    """A cell for each value of a type of 16 bits, by its bit pattern.

    Args:
        dtype: torch.float16 or torch.bfloat16; the scores are exact in it.
    """

    per_segment = 2**16

    def __init__(self, dtype: torch.dtype):
        self.dtype = dtype

    @property
    def values(self) -> Tensor:
        """(2 ** 16,) float64, the score of each cell."""
        return torch.arange(self.per_segment).short().view(self.dtype).double()

    def __call__(self, scores: Tensor, segments: Tensor | None) -> Tensor:
        """(N,) int32 cells of scores."""
        cells = scores.to(self.dtype).view(torch.int16).int().bitwise_and_(self.per_segment - 1)
        return _of_segments(cells, segments, self.per_segment)


def _of_segments(cells: Tensor, segments: Tensor | None, per_segment: int) -> Tensor:
    """(N,) numbers of cells, counted over all segments, from those within each segment."""
    if segments is not None:
        cells += segments.int() * per_segment
    return cells.flatten()
