"""Exact sums of step functions: the one primitive under all ranking losses.

A ranking loss compares every score with every positive by the step

    H(x) = clamp(x / (2 delta) + 1/2, 0, 1)   for delta > 0,      1[x >= 0]   for delta = 0.

Seen from a score s, the step of a positive p_i is 0 below p_i - delta, 1 above p_i + delta and a
ramp between. The 2P ends of the ramps cut the line of scores into buckets, and within a bucket
every sum over steps is linear in s. So a sum over all pairs needs no pairs: counts and sums of the
scores in each bucket give the sums over scores (forward), and a slope and an intercept for each
bucket give the sums over positives (backward). The cost is O((P + N) log P), the result exact.

Shape shorthand: P positives, N scores, 2P + 1 buckets. Everything is float64.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Lines:
    """A function of a score that is linear in each bucket.

    Attributes:
        steps: whose buckets.
        intercept: (2P + 1,) values at score 0.
        slope: (2P + 1,).
    """

    steps: "Steps"
    intercept: Tensor
    slope: Tensor

    def at(self, scores: Tensor) -> Tensor:
        """Values at scores of any shape, float64."""
        scores = scores.double()
        buckets = self.steps.bucket(scores)
        return self.intercept[buckets] + self.slope[buckets] * scores


class Steps:
    """The steps of P positives.

    Args:
        pos_scores: (P,) scores of the positives, finite, in any order.
        delta: half the width of a ramp, in units of the score, >= 0.
    """

    def __init__(self, pos_scores: Tensor, delta: float):
        if delta < 0:
            raise ValueError(f"delta must be >= 0, not {delta}")
        self.delta = delta
        self.pos_scores = pos_scores.detach().double()
        ends = torch.cat([self.pos_scores - delta, self.pos_scores + delta])
        self.ends, order = ends.sort()
        position = torch.empty_like(order)
        position[order] = torch.arange(len(order), device=order.device)
        # Where the ramp of a positive starts and stops: its step is 0 in the buckets 0..start, a
        # ramp in start+1..stop, 1 beyond.
        self.start, self.stop = position.chunk(2)

    @property
    def at_zero(self) -> float:
        """H(0): what a score counts against itself."""
        return 0.5 if self.delta > 0 else 1.0

    def step(self, difference: Tensor) -> Tensor:
        """H of differences of any shape."""
        if self.delta == 0:
            return (difference >= 0).to(difference.dtype)
        return (difference / (2 * self.delta) + 0.5).clamp(0, 1)

    def bucket(self, scores: Tensor) -> Tensor:
        """(N,) how many ends are at or below each score, in 0..2P."""
        return torch.bucketize(scores, self.ends, right=True)

    def histogram(self, scores: Tensor, weights: Tensor | None = None) -> Tensor:
        """(2, 2P + 1) weight and weighted sum of the scores in each bucket.

        Histograms of parts of the scores add up to the histogram of all.

        Args:
            scores: N scores of any shape.
            weights: (N,) float64, or None for ones.
        """
        scores = scores.flatten().double()
        size, buckets = len(self.ends) + 1, self.bucket(scores)
        if weights is None:
            weights = torch.ones_like(scores)
        counts = [torch.bincount(buckets, w, minlength=size) for w in (weights, weights * scores)]
        return torch.stack(counts).double()  # of no scores bincount gives integers

    def evaluate(self, lines: Lines, scores: Tensor) -> Tensor:
        """``lines.at(scores)``; :class:`Grid` has a faster way."""
        return lines.at(scores)

    def sum_over_scores(self, histogram: Tensor) -> Tensor:
        """(P,) sum_j w_j H(s_j - p_i) over the scores of a histogram, for each positive i."""
        weight, moment = histogram.cumsum(dim=1)  # of the scores below each end
        beyond = weight[-1] - weight[self.stop]
        if self.delta == 0:
            return beyond
        on_ramp = weight[self.stop] - weight[self.start]
        moment = moment[self.stop] - moment[self.start]
        return beyond + (moment - (self.pos_scores - self.delta) * on_ramp) / (2 * self.delta)

    def sum_over_positives(self, pos_weights: Tensor) -> Lines:
        """The function sum_i w_i H(s - p_i) of a score s.

        Args:
            pos_weights: (P,) w_i.
        """
        pos_weights = pos_weights.double()
        lines = pos_weights.new_zeros(2, len(self.ends) + 1)
        lines[0].index_add_(0, self.stop + 1, pos_weights)
        if self.delta > 0:
            slope = pos_weights / (2 * self.delta)
            intercept = -slope * (self.pos_scores - self.delta)
            ramp = torch.stack([intercept, slope])
            lines.index_add_(1, self.start + 1, ramp).index_add_(1, self.stop + 1, -ramp)
        return Lines(self, *lines.cumsum(dim=1))

    def sum_over_pairs(self, values: Tensor | None = None) -> Tensor:
        """(P,) sum_k v_k H(p_k - p_i) over all positives k, i included, for each positive i.

        Args:
            values: (P,) v_k, or None for ones.
        """
        values = None if values is None else values.double()
        return self.sum_over_scores(self.histogram(self.pos_scores, values))
