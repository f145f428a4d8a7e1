"""Sums of steps over all entries of a matrix of logits: a protocol, and the choice of a class.

Shape shorthand: M rows, K classes, P positives, B buckets.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from imbdet.kernels.backend import is_fused
from imbdet.kernels.chunks import row_slices
from imbdet.kernels.grid import make_grid
from imbdet.kernels.steps import Lines, Part, Parts, Steps
from imbdet.ops.precision import at_least_float32


class Rows(NamedTuple):
    """Labels, segments and weights of the rows of a matrix of logits.

    Attributes:
        gt_labels: (M,) int64 labels; rows with -1 are not ranked.
        segments: (M, 1) int64 in [0, G), or None if there is one segment.
        weights: (M, 1) float64 weights of a row's entries, or None for ones.
        has_ignored: whether rows with -1 may be among them.
    """

    gt_labels: Tensor
    segments: Tensor | None = None
    weights: Tensor | None = None
    has_ignored: bool = True

    def parts(self, pred_logits: Tensor) -> Parts:
        """The rows that are ranked, positives included, chunk by chunk."""
        for rows in row_slices(pred_logits):
            logits = at_least_float32(pred_logits[rows])
            segments, weights = _take(self.segments, rows), _take(self.weights, rows)
            is_ignored = self.ignored(rows)
            if is_ignored is not None:
                is_ranked = ~is_ignored
                logits, segments = logits[is_ranked], _take(segments, is_ranked)
                weights = _take(weights, is_ranked)
            yield Part(logits, segments, weights)

    def ignored(self, rows: slice) -> Tensor | None:
        """(C,) bool, whether each of some rows is not ranked; None if all rows are ranked."""
        gt_labels = self.gt_labels[rows]
        return gt_labels < 0 if self.has_ignored and gt_labels.min() < 0 else None


class StepSums(Protocol):
    """Sums over the pairs of one of few positives and one of very many entries."""

    def histogram(self, pred_logits: Tensor, rows: Rows) -> Tensor:
        """(2, B) :meth:`Steps.bucket_sums` of all entries of ranked rows, positives included.

        Buckets below the steps of a segment, which no sum needs, may be left empty.
        """
        ...

    def push(self, lines: Lines, pred_logits: Tensor, rows: Rows) -> Tensor:
        """(M, K) values of lines times weights, 0 in rows not ranked; in the type of the logits."""
        ...


class PartSums(Protocol):
    """Sums as of :class:`StepSums`, of parts of float32 or float64 scores on the steps' device."""

    def histogram(self, parts: Parts) -> Tensor:
        """(2, B) sum of :meth:`Steps.bucket_sums` over parts of the scores."""
        ...

    def evaluator(self, lines: Lines) -> Callable[[Tensor, Tensor | None], Tensor]:
        """The function :meth:`Lines.at` of scores and their segments, prepared for many calls."""
        ...


class Search:
    """Finds the bucket of each score by a search; see :class:`PartSums`."""

    def __init__(self, steps: Steps):
        self.steps = steps

    def histogram(self, parts: Parts) -> Tensor:
        zeros = self.steps.ends.new_zeros(2, self.steps.num_buckets)
        return sum((self.steps.bucket_sums(part) for part in parts), start=zeros)

    def evaluator(self, lines: Lines) -> Callable[[Tensor, Tensor | None], Tensor]:
        return lines.at


class ChunkedSums:
    """Computes chunk after chunk, by PyTorch's operations; see :class:`StepSums`."""

    def __init__(self, sums: PartSums):
        self.sums = sums

    def histogram(self, pred_logits: Tensor, rows: Rows) -> Tensor:
        return self.sums.histogram(rows.parts(pred_logits))

    def push(self, lines: Lines, pred_logits: Tensor, rows: Rows) -> Tensor:
        evaluate, pushed = self.sums.evaluator(lines), torch.empty_like(pred_logits)
        for some in row_slices(pred_logits):
            logits = at_least_float32(pred_logits[some])
            values = evaluate(logits, _take(rows.segments, some))
            if rows.weights is not None:
                values *= rows.weights[some]
            is_ignored = rows.ignored(some)
            if is_ignored is not None:
                values.masked_fill_(is_ignored[:, None], 0)
            pushed[some] = values
        return pushed


def step_sums(steps: Steps, logits: Tensor) -> StepSums:
    """The fastest sums of the steps for logits of this device, type and number.

    The look-up takes scores of at most 32 bits on a CPU. A GPU searches fast enough.
    """
    if is_fused(logits):
        from imbdet.kernels.fused.step_sums import FusedSums  # Triton is not everywhere

        return FusedSums(steps)
    if logits.device.type == "cpu" and logits.dtype != torch.float64:
        return ChunkedSums(make_grid(steps, logits))
    return ChunkedSums(Search(steps))


def _take(values: Tensor | None, rows: slice | Tensor) -> Tensor | None:
    """Some rows of segments or weights, if there are any."""
    return None if values is None else values[rows]
