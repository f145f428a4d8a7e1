"""The scores of an image after those of its first positives were raised.

Cao et al., "Prime Sample Attention in Object Detection", CVPR 2020,
https://arxiv.org/abs/1904.04821, sec. 3: the scores of each image's first positives by IoU-HLR are
raised, of the first 5 or of the first 25, so that the classification loss falls by the same amount.
Only the detections show the difference.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from imbdet.figures.boosting import TOPS
from imbdet.structures.classifiers import Classifier

# Share of the loss of an image's first 5 positives by which the loss of the image falls.
DECREASE = 0.5
# Scores are clamped to at least this distance from 0 and 1.
_EPS = 1e-12


@dataclass(frozen=True)
class Boost:
    """The scores of an image after a boost.

    Attributes:
        scores: (M, K) scores of the classes.
        num_boosted: number of positives whose scores were raised.
        decrease: decrease of the cross-entropy.
    """

    scores: Tensor
    num_boosted: int
    decrease: float


def boost(
    scores: Tensor, rows: Tensor, classes: Tensor, ranks: Tensor, top: int, classifier: Classifier
) -> Boost:
    """Raise the scores of the positives that come first.

    All their logits are raised by the same amount.

    Args:
        scores: (M, K) scores of the classes.
        rows: (P,) int64, the positives.
        classes: (P,) int64, their classes.
        ranks: (P,) int64, their IoU-HLR, 0 first.
        top: positives with a lower rank are boosted.
        classifier: with softmax the other scores of a sample fall in proportion.
    """
    losses = -scores[rows, classes].double().clamp(_EPS, 1 - _EPS).log()
    decrease = DECREASE * float(losses[ranks < min(TOPS)].sum())
    is_boosted = ranks < top
    rows, classes = rows[is_boosted], classes[is_boosted]
    before = scores[rows, classes].double().clamp(_EPS, 1 - _EPS)
    after = raise_scores(before, decrease)
    boosted = with_scores(scores, rows, classes, after, classifier)
    return Boost(boosted, len(rows), float((after.log() - before.log()).sum()))


def with_scores(
    scores: Tensor, rows: Tensor, classes: Tensor, values: Tensor, classifier: Classifier
) -> Tensor:
    """(M, K) scores after some have been given other values.

    Args:
        scores: (M, K) scores of the classes.
        rows: (P,) int64, each at most once.
        classes: (P,) int64, the class whose score is set in each row.
        values: (P,) in [0, 1].
        classifier: with softmax the other scores of a row change in proportion to what is left.
    """
    result, values = scores.to(torch.float64, copy=True), values.double()
    if classifier.sums_to_one:
        left = 1 - result[rows, classes].clamp(_EPS, 1 - _EPS)
        result[rows] *= ((1 - values) / left)[:, None]
    result[rows, classes] = values
    return result.to(scores.dtype)


def raise_scores(scores: Tensor, decrease: float) -> Tensor:
    """Raise the logits of scores by the one amount that lowers sum(-log p) by ``decrease``.

    Args:
        scores: (n,) in (0, 1).
        decrease: decrease of the sum, >= 0 and less than the sum.

    Returns:
        (n,) float64 scores.
    """
    logits = torch.logit(scores.double())
    low, high = 0.0, 100.0
    for _ in range(80):  # bisection: the decrease grows with the shift
        middle = (low + high) / 2
        shifted = torch.nn.functional.logsigmoid(logits + middle)
        if float((shifted - scores.double().log()).sum()) < decrease:
            low = middle
        else:
            high = middle
    return torch.sigmoid(logits + high)
