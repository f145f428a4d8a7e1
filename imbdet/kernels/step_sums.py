"""Sums of steps over very many scores: one protocol, and the choice of what fits the logits."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from imbdet.kernels.grid import make_grid
from imbdet.kernels.steps import Lines, Parts, Steps


class StepSums(Protocol):
    """Sums over the pairs of a positive, of which there are few, and a score of very many.

    Scores are float32 or float64 of any shape, on the device of the steps; their segments are int64
    of a shape that broadcasts to it, or None if there is one segment.
    """

    def histogram(self, parts: Parts) -> Tensor:
        """Sum of :meth:`Steps.bucket_sums` over parts of the scores."""
        ...

    def evaluator(self, lines: Lines) -> Callable[[Tensor, Tensor | None], Tensor]:
        """A function of scores and their segments, to be called often: see :meth:`Lines.at`."""
        ...


class Search:
    """Searches for the bucket of each score; see :class:`StepSums`."""

    def __init__(self, steps: Steps):
        self.steps = steps

    def histogram(self, parts: Parts) -> Tensor:
        zeros = self.steps.ends.new_zeros(2, self.steps.num_buckets)
        return sum((self.steps.bucket_sums(part) for part in parts), start=zeros)

    def evaluator(self, lines: Lines) -> Callable[[Tensor, Tensor | None], Tensor]:
        return lines.at


def step_sums(steps: Steps, logits: Tensor) -> StepSums:
    """What sums the steps over logits of this device, type and number fastest.

    The look-up takes scores of at most 32 bits on a CPU. A GPU searches fast enough.
    """
    if logits.device.type == "cpu" and logits.dtype != torch.float64:
        return make_grid(steps, logits)
    return Search(steps)
