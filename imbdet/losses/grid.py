"""Finding the bucket of a score by a look-up instead of a search, for many scores on a CPU.

A binary search among the ends of all ramps costs tens of nanoseconds for each score. Equal cells
over the range of the ends cost one multiplication, and nearly all cells lie within one bucket. Only
the scores in cells that hold an end are searched. The result is exact: the arithmetic that leads
from a score to its cell is monotone, so a cell without an end holds scores of one bucket only.

Shape shorthand: N scores, 2P + 1 buckets, C cells.
"""

import torch
from torch import Tensor

from imbdet.losses.steps import Lines, Steps

# More cells leave fewer scores to search, fewer cells keep the tables in the cache.
CELLS_PER_END = 32
MIN_CELLS, MAX_CELLS = 2**12, 2**20


class Grid:
    """Cells over the range of the steps' ends. Takes float32 scores without NaN, of any shape."""

    def __init__(self, steps: Steps):
        self.steps = steps
        low, high = (float(end.float()) for end in (steps.ends[0], steps.ends[-1]))
        # What lies beyond the ends counts fully or not at all, wherever it is.
        self.low, self.high = low - 1, high + 1
        num_cells = min(max(CELLS_PER_END * len(steps.ends), MIN_CELLS), MAX_CELLS)
        self.scale = (num_cells - 1) / max(self.high - self.low, 1)
        self.num_cells = num_cells
        ends = self._cells(steps.ends.float())
        self.has_end = torch.zeros(num_cells, dtype=torch.bool)
        self.has_end[ends.long()] = True
        # Ends in lower cells; the bucket of every score in the cell if it holds no end itself.
        below = torch.bincount(ends, minlength=num_cells).cumsum(dim=0)
        self.bucket_of_cell = below.where(~self.has_end, 0)

    def histogram(self, scores: Tensor) -> Tensor:
        """See :meth:`Steps.histogram`."""
        scores = scores.flatten().clamp(self.low, self.high)
        bucket = self._common_bucket(scores)
        if bucket is not None:
            total = torch.zeros(2, len(self.steps.ends) + 1, dtype=torch.float64)
            total[0, bucket] = scores.numel()
            total[1, bucket] = scores.sum(dtype=torch.float64)
            return total
        cells = self._cells(scores)
        per_cell = torch.stack(
            [
                torch.bincount(cells, minlength=self.num_cells).double(),
                torch.bincount(cells, scores.double(), minlength=self.num_cells),
            ]
        ).masked_fill_(self.has_end, 0)
        searched = self.steps.histogram(scores[self._searched(cells)])
        return searched.index_add_(1, self.bucket_of_cell, per_cell)

    def evaluate(self, lines: Lines, scores: Tensor) -> Tensor:
        """See :meth:`Lines.at`; float64."""
        shape, scores = scores.shape, scores.flatten().clamp(self.low, self.high)
        bucket = self._common_bucket(scores)
        if bucket is not None:
            line = lines.intercept[bucket], lines.slope[bucket]
            return torch.addcmul(line[0], line[1], scores.double()).view(shape)
        cells = self._cells(scores)
        intercept, slope = (
            values.index_select(0, self.bucket_of_cell).index_select(0, cells)
            for values in (lines.intercept, lines.slope)
        )
        values = slope.mul_(scores).add_(intercept)
        searched = self._searched(cells)
        values[searched] = lines.at(scores[searched])
        return values.view(shape)

    def _cells(self, scores: Tensor) -> Tensor:
        return (scores - self.low).mul_(self.scale).int()

    def _searched(self, cells: Tensor) -> Tensor:
        return self.has_end.index_select(0, cells).nonzero().squeeze(1)

    def _common_bucket(self, scores: Tensor) -> int | None:
        """The bucket that holds all scores, if one does: at the start of a training most do."""
        if scores.numel() == 0:
            return 0
        extremes = torch.stack(torch.aminmax(scores)).double()
        first, last = self.steps.bucket(extremes).tolist()
        return first if first == last else None
