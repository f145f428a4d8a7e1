"""Exact sums of step functions: the one primitive under all ranking losses.

A ranking loss compares every score with every positive by the step

    H(x) = clamp(x / (2 delta) + 1/2, 0, 1)   for delta > 0,      1[x >= 0]   for delta = 0.

Seen from a score s, the step of a positive p_i is 0 below p_i - delta, 1 above p_i + delta and a
ramp between. The 2P ends of the ramps cut the line of scores into buckets, and within a bucket
every sum over steps is linear in s. So a sum over all pairs needs no pairs: counts and sums of the
scores in each bucket give the sums over scores (forward), and a slope and an intercept for each
bucket give the sums over positives (backward). The cost is O((P + N) log P), the result exact.

Scores may come in segments, such as images, that are not compared with each other: each segment has
its own line and its own buckets, which follow those of the segment before it.

The numbers of a line grow with the score of its positive, and those of a positive very far from 0
would drown all others. So the step of such a positive is 1/2 all along its ramp, where no other
score of single precision lies.

Shape shorthand: P positives, N scores, G segments, B = 2P + G buckets. Everything is float64.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from imbdet.ops.sums import sum_by

# A positive is far from 0 above this, in units of delta: numbers of single precision that differ
# are more than delta apart there.
FAR = 2.0**24


class Part(NamedTuple):
    """Some of the scores.

    Attributes:
        scores: scores of any shape.
        segments: int64 in [0, G), of a shape that broadcasts to it; None if there is one segment.
        weights: float64 weights, of a shape that broadcasts to it; None for ones.
    """

    scores: Tensor
    segments: Tensor | None = None
    weights: Tensor | None = None

    @property
    def flat_weights(self) -> Tensor | None:
        """(N,) weight of each score."""
        return None if self.weights is None else self.weights.expand_as(self.scores).flatten()

    def take(self, idxs: Tensor) -> "Part":
        """The scores with some indices, counted over the flat scores."""
        values = (self._spread(x, idxs) for x in (self.segments, self.weights))
        return Part(self.scores.flatten()[idxs], *values)

    def _spread(self, values: Tensor | None, idxs: Tensor) -> Tensor | None:
        if values is None:
            return None
        return values.flatten()[idxs // (self.scores.numel() // values.numel())]


Parts = Iterable[Part]


@dataclass(frozen=True, eq=False)
class Lines:
    """A function of a score that is linear in each bucket.

    Attributes:
        steps: the steps that define the buckets.
        intercept: (B,) values at score 0.
        slope: (B,) slopes.
    """

    steps: "Steps"
    intercept: Tensor
    slope: Tensor

    def at(self, scores: Tensor, segments: Tensor | None = None) -> Tensor:
        """Values at scores of any shape, float64; see :meth:`Steps.bucket`."""
        scores = scores.double()
        buckets = self.steps.bucket(scores, segments)
        return self.intercept[buckets] + self.slope[buckets] * self.steps.clamp(scores)


class Steps:
    """The steps of P positives.

    Args:
        pos_scores: (P,) scores of the positives, finite, in any order.
        delta: half the width of a ramp, in units of the score, >= 0.
        pos_segments: (P,) int64 in [0, G), or None if there is one segment.
        num_segments: G.

    Raises:
        ValueError: ``delta`` is negative, infinite or NaN.
    """

    def __init__(
        self,
        pos_scores: Tensor,
        delta: float,
        pos_segments: Tensor | None = None,
        num_segments: int = 1,
    ):
        if not 0 <= delta < math.inf:
            raise ValueError(f"delta must be >= 0 and finite, not {delta}")
        self.delta, self.num_segments = delta, num_segments
        self.pos_scores = pos_scores.detach().double()
        if pos_segments is None:
            pos_segments = torch.zeros_like(self.pos_scores, dtype=torch.int64)
        self.pos_segments = own = pos_segments
        low, high = self.pos_scores - delta, self.pos_scores + delta
        self.is_far = torch.zeros_like(pos_segments, dtype=torch.bool)
        if delta > 0:
            self.is_far = self.pos_scores.abs() > FAR * delta
            # Where delta is lost beside a score, the score alone is on its ramp.
            high = high.maximum(self.pos_scores.nextafter(torch.full_like(high, math.inf)))
        # The range of the ramps with a slope.
        self.bounds = low.new_zeros(2)
        if len(low) > 0:
            lowest, highest = low.masked_fill(self.is_far, 0), high.masked_fill(self.is_far, 0)
            self.bounds = torch.stack([lowest.min(), highest.max()])
        # The ends by score; their places in that order, by segment and within each by score.
        self.ends, order = torch.cat([low, high]).sort()
        self.end_segments, self.places = own.repeat(2)[order].sort(stable=True)
        self.keys = self._keys(self.end_segments, self.places)
        rank = torch.empty_like(order)
        rank[order[self.places]] = torch.arange(len(order), device=order.device)
        # Buckets between which a step rises: it is 0 up to start, a ramp in start+1..stop, and 1 in
        # stop+1..last, where the segment ends.
        rise = rank + own.repeat(2)
        self.start = rise[: len(own)]
        sizes = 2 * sum_by(own, None, num_segments).long() + 1
        lasts = sizes.cumsum(dim=0) - 1
        self.cuts = torch.cat([rise, lasts[own]]).view(3, len(own))  # start, stop, last
        self.begins = rise + 1  # of the ramps, then of where the steps are 1
        self.first_of_bucket = (lasts + 1 - sizes).repeat_interleave(
            sizes, output_size=len(order) + num_segments
        )

    @property
    def at_zero(self) -> float:
        """H(0), the step of a score at itself."""
        return 0.5 if self.delta > 0 else 1.0

    @property
    def num_buckets(self) -> int:
        """B, the number of buckets."""
        return len(self.first_of_bucket)

    def bucket(self, scores: Tensor, segments: Tensor | None = None) -> Tensor:
        """Buckets of scores of any shape: the number of ends of the segment at or below a score.

        Args:
            scores: float64 scores; NaN goes to the last bucket of its segment.
            segments: int64 in [0, G), of a shape that broadcasts; None if there is one segment.
        """
        places = torch.bucketize(scores.contiguous(), self.ends, right=True)
        if segments is None:
            return places
        return torch.bucketize(self._keys(segments, places), self.keys) + segments

    def _keys(self, segments: Tensor, places: Tensor) -> Tensor:
        """Integers in the order of the segments and, within each, of the scores."""
        return segments * (len(self.ends) + 1) + places

    def clamp(self, scores: Tensor) -> Tensor:
        """Scores clamped to the range of the ramps, beyond which no step has a slope."""
        return scores.clamp(*self.bounds)

    def bucket_sums(self, part: Part) -> Tensor:
        """(2, B) weight and weighted sum of the clamped scores in each bucket.

        The sums of parts of the scores add up to those of all: a histogram. NaN scores make it NaN.

        Args:
            part: N scores.
        """
        scores, weights = part.scores.double(), part.flat_weights
        buckets = self.bucket(scores, part.segments).flatten()
        scores = self.clamp(scores.flatten())
        moments = scores if weights is None else weights * scores
        return torch.stack([sum_by(buckets, x, self.num_buckets) for x in (weights, moments)])

    def sum_over_scores(self, histogram: Tensor) -> Tensor:
        """(P,) sum_j w_j H(s_j - p_i) over the scores of a histogram, for each positive i."""
        # Sums over the scores on the ramp and over those beyond it.
        weights, moments = histogram.cumsum(dim=1)[:, self.cuts].diff(dim=1).unbind()
        (on_ramp, beyond), moment = weights.unbind(), moments[0]
        if self.delta == 0:
            return beyond
        on_slope = (moment - (self.pos_scores - self.delta) * on_ramp) / (2 * self.delta)
        return beyond + torch.where(self.is_far, on_ramp / 2, on_slope)

    def sum_over_positives(self, pos_weights: Tensor) -> Lines:
        """The function sum_i w_i H(s - p_i) of a score s.

        Args:
            pos_weights: (P,) w_i.
        """
        pos_weights = pos_weights.double()
        slope = pos_weights / (2 * self.delta) if self.delta > 0 else torch.zeros_like(pos_weights)
        slope = slope.masked_fill(self.is_far, 0)
        intercept = slope * (self.delta - self.pos_scores)
        intercept = torch.where(self.is_far, pos_weights / 2, intercept)
        # The changes where ramps begin, then those where they end.
        intercepts = torch.cat([intercept, pos_weights - intercept])
        changes = torch.stack([intercepts, torch.cat([slope, -slope])])
        lines = changes.new_zeros(2, self.num_buckets)
        lines = lines.index_add_(1, self.begins, changes).cumsum(dim=1)
        return Lines(self, *(lines - lines[:, self.first_of_bucket]))

    def sum_over_pairs(self, values: Tensor) -> Tensor:
        """(P,) sum_k x_k H(p_k - p_i) over all positives k, i included, for each positive i.

        Args:
            values: (P,) x_k.
        """
        segments = self.pos_segments if self.num_segments > 1 else None
        part = Part(self.pos_scores, segments, values.double())
        return self.sum_over_scores(self.bucket_sums(part))
