"""The best evaluation of a training by one metric."""

import math
import re
from dataclasses import dataclass

# The group of the metrics for which lower is better: "validation/total_loss", or
# "cells_val/validation/total_loss" of one of several data sets, which may itself have this name.
LOSSES = "validation"
_LOSS = re.compile(rf"([^/]+/)?{LOSSES}/[^/]+")


def is_loss(metric: str) -> bool:
    """Whether lower values of a metric, such as "validation/total_loss", are better."""
    return _LOSS.fullmatch(metric) is not None


@dataclass
class BestEvaluation:
    """The best value of a metric so far, and the evaluations since its last gain.

    Iterations are numbers of iterations done; 0 is none.

    Attributes:
        metric: name of the metric, such as "bbox/AP".
        min_delta: improvement that a gain must exceed; at least 0.
        value: best value; NaN before the first.
        iteration: iteration of the best value; the first of equal ones.
        reference: value at the last gain, from which the next one is measured.
        num_without_gain: number of evaluations since the last gain.
        seen: iteration of the last evaluation.
    """

    metric: str
    min_delta: float = 0.0
    value: float = math.nan
    iteration: int = 0
    reference: float = math.nan
    num_without_gain: int = 0
    seen: int = 0

    def see(self, value: float, iteration: int) -> bool:
        """Add an evaluation, unless it was seen already.

        Args:
            value: value of the metric; NaN is never better.
            iteration: number of iterations done.

        Returns:
            Whether the value is the best one so far.
        """
        if iteration <= self.seen:
            return False
        self.seen = iteration
        if self._is_better(value, self.reference, self.min_delta):
            self.reference, self.num_without_gain = value, 0
        else:
            self.num_without_gain += 1
        is_best = self._is_better(value, self.value, 0.0)
        if is_best:
            self.value, self.iteration = value, iteration
        return is_best

    def has_stalled(self, patience: int) -> bool:
        """Whether ``patience`` evaluations brought no gain; never with a ``patience`` of 0."""
        return 0 < patience <= self.num_without_gain

    def _is_better(self, value: float, than: float, by: float) -> bool:
        if math.isnan(value) or math.isnan(than):
            return not math.isnan(value)
        gain = than - value if is_loss(self.metric) else value - than
        return gain > by
