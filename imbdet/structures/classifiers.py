"""Meanings of the logits of a head: how scores are made from them.

Shape shorthand: M rows, K classes, C columns of logits.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from imbdet.ops.precision import at_least_float32


class Classifier(ABC):
    """Makes scores from (M, C) logits.

    Attributes:
        name: name in messages.
        num_extra: C - K, number of columns beside those of the classes.
        has_prior: whether every score has a logit of its own, whose bias sets its initial value.
        sums_to_one: whether the scores of the classes and the background sum to 1.
    """

    name: str
    num_extra: int
    has_prior: bool
    sums_to_one: bool

    @abstractmethod
    def scores(self, logits: Tensor) -> Tensor:
        """(M, K) scores of the classes, in [0, 1], float32 at least, with gradient."""

    @abstractmethod
    def scores_of(self, classes: Tensor, logits: Tensor) -> Tensor:
        """(M,) scores of one class of each row, in [0, 1], float32 at least, with gradient.

        Args:
            classes: (M,) int64 in [0, K).
            logits: (M, C) logits of the rows.
        """

    @abstractmethod
    def best_classes(self, logits: Tensor) -> Tensor:
        """(M,) int64 in [0, K), the class of the highest score."""

    @abstractmethod
    def predict(self, logits: Tensor) -> Tensor:
        """(M,) int64 in [0, K], the best class, or K where the background is more likely."""

    def columns(self, logits: Tensor) -> Tensor:
        """(M, C) columns of (M, K + 1) logits that are used."""
        return logits if self.num_extra else logits[:, :-1]


def _of_classes(columns: Tensor, classes: Tensor) -> Tensor:
    """(M,) the value of one class of each row, float32 at least."""
    return at_least_float32(columns.gather(1, classes[:, None]).squeeze(1))


class Sigmoid(Classifier):
    """Each class against all others; the background is the absence of all."""

    name, num_extra, has_prior, sums_to_one = "sigmoid", 0, True, False

    def scores(self, logits: Tensor) -> Tensor:
        return at_least_float32(logits).sigmoid()

    def scores_of(self, classes: Tensor, logits: Tensor) -> Tensor:
        return _of_classes(logits, classes).sigmoid()

    def best_classes(self, logits: Tensor) -> Tensor:
        return logits.argmax(dim=1)

    def predict(self, logits: Tensor) -> Tensor:
        best, classes = logits.max(dim=1)
        return classes.masked_fill(best < 0, logits.shape[1])


class Softmax(Classifier):
    """All classes and the background, the last column, against each other."""

    name, num_extra, has_prior, sums_to_one = "softmax", 1, False, True

    def scores(self, logits: Tensor) -> Tensor:
        return at_least_float32(logits).softmax(dim=-1)[:, :-1]

    def scores_of(self, classes: Tensor, logits: Tensor) -> Tensor:
        return (
            _of_classes(logits, classes) - torch.logsumexp(at_least_float32(logits), dim=1)
        ).exp()

    def best_classes(self, logits: Tensor) -> Tensor:
        return logits[:, :-1].argmax(dim=1)

    def predict(self, logits: Tensor) -> Tensor:
        return logits.argmax(dim=1)


class SigmoidBesideBackground(Classifier):
    """Each class and the background, the last column, by itself: p_c (1 - p_background).

    Tan et al., "Equalization Loss v2", CVPR 2021, https://arxiv.org/abs/2012.08548, as in its code.
    """

    name, num_extra, has_prior, sums_to_one = "sigmoid beside background", 1, True, False

    def scores(self, logits: Tensor) -> Tensor:
        logits = at_least_float32(logits)
        return logits[:, :-1].sigmoid() * (-logits[:, -1:]).sigmoid()

    def scores_of(self, classes: Tensor, logits: Tensor) -> Tensor:
        is_object = (-at_least_float32(logits[:, -1])).sigmoid()
        return _of_classes(logits, classes).sigmoid() * is_object

    def best_classes(self, logits: Tensor) -> Tensor:
        return logits[:, :-1].argmax(dim=1)

    def predict(self, logits: Tensor) -> Tensor:
        background = at_least_float32(logits[:, -1:]).sigmoid()
        return torch.cat([self.scores(logits), background], dim=1).argmax(dim=1)


class ObjectnessSoftmax(Classifier):
    """The classes against each other, times object, the last column but one, against background.

    Wang et al., "Seesaw Loss", CVPR 2021, https://arxiv.org/abs/2008.10032, sec. 3.3.
    """

    name, num_extra, has_prior, sums_to_one = "softmax and objectness", 2, False, True

    def scores(self, logits: Tensor) -> Tensor:
        classes, objectness = _split(logits)
        return classes.softmax(dim=1) * objectness.softmax(dim=1)[:, :1]

    def scores_of(self, classes: Tensor, logits: Tensor) -> Tensor:
        columns, objectness = _split(logits)
        in_classes = _of_classes(columns, classes) - torch.logsumexp(columns, dim=1)
        return (in_classes + objectness.log_softmax(dim=1)[:, 0]).exp()

    def best_classes(self, logits: Tensor) -> Tensor:
        return logits[:, :-2].argmax(dim=1)

    def predict(self, logits: Tensor) -> Tensor:
        background = _split(logits)[1].softmax(dim=1)[:, 1:]
        return torch.cat([self.scores(logits), background], dim=1).argmax(dim=1)


def _split(logits: Tensor) -> tuple[Tensor, Tensor]:
    """(M, K) logits of the classes and (M, 2) of object and background, float32 at least."""
    classes, objectness = at_least_float32(logits).tensor_split([logits.shape[1] - 2], dim=1)
    return classes, objectness


SIGMOID, SOFTMAX = Sigmoid(), Softmax()
SIGMOID_BESIDE_BACKGROUND, OBJECTNESS_SOFTMAX = SigmoidBesideBackground(), ObjectnessSoftmax()
CLASSIFIERS = {
    classifier.name: classifier
    for classifier in (SIGMOID, SOFTMAX, SIGMOID_BESIDE_BACKGROUND, OBJECTNESS_SOFTMAX)
}
