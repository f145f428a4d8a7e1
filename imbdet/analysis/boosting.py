"""Is it worth more to raise the scores of a few prime positives than of many?

Cao et al., "Prime Sample Attention in Object Detection", CVPR 2020,
https://arxiv.org/abs/1904.04821, sec. 3: the scores of each image's first positives by IoU-HLR are
raised, of the first 5 or of the first 25, so that the classification loss falls by the same amount.
Only the detections tell the difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

TOPS = (5, 25)
BASELINE = "as it is"
# The loss of an image falls by so much of what its first 5 positives pay.
DECREASE = 0.5
# Scores are taken to be so far from 0 and 1 at least.
_EPS = 1e-12


@dataclass(frozen=True)
class Boost:
    """The scores of an image after a boost.

    Attributes:
        scores: (M, K).
        num_boosted: positives whose scores were raised.
        decrease: by how much the cross-entropy fell.
    """

    scores: Tensor
    num_boosted: int
    decrease: float


def boost(
    scores: Tensor, rows: Tensor, classes: Tensor, ranks: Tensor, top: int, activation: str
) -> Boost:
    """Raise the scores of the positives that come first.

    All their logits are raised by the same amount.

    Args:
        scores: (M, K) scores of the classes.
        rows: (P,) int64, the positives.
        classes: (P,) int64, their classes.
        ranks: (P,) int64, their IoU-HLR, 0 first.
        top: boosted are those with a rank below.
        activation: with "softmax" the other scores of a sample fall in proportion.
    """
    losses = -scores[rows, classes].double().clamp(_EPS, 1 - _EPS).log()
    decrease = DECREASE * float(losses[ranks < min(TOPS)].sum())
    is_boosted = ranks < top
    rows, classes = rows[is_boosted], classes[is_boosted]
    before = scores[rows, classes].double().clamp(_EPS, 1 - _EPS)
    after = raise_scores(before, decrease)
    boosted = with_scores(scores, rows, classes, after, activation)
    return Boost(boosted, len(rows), float((after.log() - before.log()).sum()))


def with_scores(
    scores: Tensor, rows: Tensor, classes: Tensor, values: Tensor, activation: str
) -> Tensor:
    """(M, K) scores after some have been given other values.

    Args:
        scores: (M, K) scores of the classes.
        rows: (P,) int64, each at most once.
        classes: (P,) int64, the class whose score is set in each row.
        values: (P,) in [0, 1].
        activation: with "softmax" the other scores of a row change in proportion to what is left.
    """
    result, values = scores.to(torch.float64, copy=True), values.double()
    if activation == "softmax":
        left = 1 - result[rows, classes].clamp(_EPS, 1 - _EPS)
        result[rows] *= ((1 - values) / left)[:, None]
    result[rows, classes] = values
    return result.to(scores.dtype)


def raise_scores(scores: Tensor, decrease: float) -> Tensor:
    """Raise the logits of scores by the one amount that lowers sum(-log p) by ``decrease``.

    Args:
        scores: (n,) in (0, 1).
        decrease: >= 0 and less than the sum.

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


@dataclass(frozen=True)
class BoostingStudy:
    """What the boosts are worth.

    Attributes:
        ap: by variant, AP in percent.
        precisions: by variant and IoU threshold, (101,) mean precision over the classes at the
            recalls 0, 0.01, ..., 1.
        decreases: by top, total decrease of the cross-entropy.
        num_boosted: by top, how many positives were boosted.
    """

    ap: Mapping[str, float]
    precisions: Mapping[tuple[str, float], np.ndarray]
    decreases: Mapping[int, float]
    num_boosted: Mapping[int, int]

    def table(self) -> pa.Table:
        """See :class:`Numbers`; a row for each variant, threshold and recall."""
        recalls = np.linspace(0, 1, 101)
        parts = [
            {
                "variant": [variant] * len(recalls),
                "iou_threshold": np.full(len(recalls), threshold),
                "recall": recalls,
                "precision": precision,
                "AP_at_threshold": np.full(len(recalls), ap_of(precision)),
                "AP_over_thresholds": np.full(len(recalls), self.ap[variant]),
            }
            for (variant, threshold), precision in self.precisions.items()
        ]
        return pa.concat_tables([pa.table(part) for part in parts])

    def sentence(self) -> str:
        """See :class:`Numbers`."""
        values = ", ".join(f"{variant} {value:.1f}" for variant, value in self.ap.items())
        falls = " and ".join(dict.fromkeys(f"{self.decreases[top]:.4g}" for top in TOPS))
        counts = " and ".join(f"{self.num_boosted[top]:,} ({variant_name(top)})" for top in TOPS)
        return (
            f"AP: {values}. Each boost raises scores until the classification loss, summed over "
            f"all images, is lower by {falls}; it raises those of {counts} positives."
        )


def ap_of(precision: np.ndarray) -> float:
    """AP in percent at the IoU threshold of a curve (101,) in [0, 1]."""
    return 100 * float(precision.mean())


def variant_name(top: int) -> str:
    """What a boost is called."""
    return f"top {top}"


def variants() -> Sequence[str]:
    """The names of all variants."""
    return [BASELINE, *map(variant_name, TOPS)]
