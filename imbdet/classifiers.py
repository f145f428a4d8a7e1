"""What the logits of a head mean: how scores are made of them.

Shape shorthand: M rows, K classes, C columns of logits.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from imbdet.ops.precision import at_least_float32


class Classifier(ABC):
    """How (M, C) logits become scores.

    Attributes:
        name: as messages have it.
        num_extra: C - K, columns beside those of the classes, which come first.
        has_prior: whether every score has a logit of its own, whose bias sets where it starts.
    """

    name: str
    num_extra: int
    has_prior: bool

    @abstractmethod
    def scores(self, logits: Tensor) -> Tensor:
        """(M, K) scores of the classes, in [0, 1]."""

    @abstractmethod
    def scores_of(self, entries: Tensor, logits: Tensor) -> Tensor:
        """(M,) scores of one entry of each row, in [0, 1], float32 at least, with gradient.

        Args:
            entries: (M,) logits of the entries.
            logits: (M, C) logits of the rows.
        """

    @abstractmethod
    def predict(self, logits: Tensor) -> Tensor:
        """(M,) int64, the class of the highest score in [0, K), or K for background."""

    def columns(self, logits: Tensor) -> Tensor:
        """(M, C) the columns that count of (M, K + 1) logits."""
        return logits if self.num_extra else logits[:, :-1]


class Sigmoid(Classifier):
    """Each class against all others; the background is the absence of all."""

    name, num_extra, has_prior = "sigmoid", 0, True

    def scores(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()

    def scores_of(self, entries: Tensor, logits: Tensor) -> Tensor:
        return at_least_float32(entries).sigmoid()

    def predict(self, logits: Tensor) -> Tensor:
        best, classes = logits.max(dim=1)
        return classes.masked_fill(best < 0, logits.shape[1])


class Softmax(Classifier):
    """All classes and the background, the last column, against each other."""

    name, num_extra, has_prior = "softmax", 1, False

    def scores(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=-1)[:, :-1]

    def scores_of(self, entries: Tensor, logits: Tensor) -> Tensor:
        return (at_least_float32(entries) - torch.logsumexp(at_least_float32(logits), 1)).exp()

    def predict(self, logits: Tensor) -> Tensor:
        return logits.argmax(dim=1)


SIGMOID, SOFTMAX = Sigmoid(), Softmax()
CLASSIFIERS = {classifier.name: classifier for classifier in (SIGMOID, SOFTMAX)}
