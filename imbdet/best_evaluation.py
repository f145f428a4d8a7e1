"""The best of the evaluations of a training, by one of their metrics."""

import math
import re
from dataclasses import dataclass

# The group of the metrics that are the better, the lower they are: "validation/total_loss", or
# "cells_val/validation/total_loss" of one of several data sets, which may be called so itself.
LOSSES = "validation"
_LOSS = re.compile(rf"([^/]+/)?{LOSSES}/[^/]+")


def is_loss(metric: str) -> bool:
    """Whether a metric, such as "bbox/AP", is the better, the lower it is."""
    return _LOSS.fullmatch(metric) is not None


@dataclass
class BestEvaluation:
    """What is known of a metric after some evaluations.

    Iterations are numbers of iterations done; 0 is none.

    Attributes:
        metric: its name, such as "bbox/AP".
        min_delta: how much better a value must be to be a gain; at least 0.
        value: the best one; of equal ones the first.
        iteration: when it was evaluated.
        reference: the value of the last gain, which the next one must exceed.
        num_without_gain: evaluations since then.
        seen: iterations of the last evaluation.
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
            value: of the metric; NaN is never better.
            iteration: iterations done.

        Returns:
            Whether it is the best one by now.
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
        """Whether as many evaluations were without gain; never with a ``patience`` of 0."""
        return 0 < patience <= self.num_without_gain

    def _is_better(self, value: float, than: float, by: float) -> bool:
        if math.isnan(value) or math.isnan(than):
            return not math.isnan(value)
        gain = than - value if is_loss(self.metric) else value - than
        return gain > by
