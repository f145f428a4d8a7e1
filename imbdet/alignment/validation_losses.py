"""Losses by which rules are judged: losses of scores and predicted boxes, as a test sees them.

None has an assigner, a sampler or weights of samples, by which rules differ. As no loss is neutral
towards all rules, there are two with different meanings: whether scores are right as probabilities,
and whether they are in the right order.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from imbdet.alignment.entries import IOU_THRESHOLDS, Entries
from imbdet.losses import ap_loss


def likelihood(entries: Entries) -> Tensor:
    """Cross-entropy of the scores, summed over the entries.

    The label is the share of the IoU thresholds at which the predicted box is right. It is a proper
    scoring rule: the lower, the better the scores are as probabilities (Gneiting and Raftery,
    "Strictly Proper Scoring Rules, Prediction, and Estimation", JASA 102, 2007).
    """
    labels = torch.zeros_like(entries.log_odds)
    for threshold in IOU_THRESHOLDS:
        labels += (entries.ious >= threshold) / len(IOU_THRESHOLDS)
    losses = F.binary_cross_entropy_with_logits(entries.log_odds, labels, reduction="none")
    return losses[entries.is_counted].sum()


def ranking(entries: Entries) -> Tensor:
    """1 - AP of each class at each IoU threshold, summed over both; objects count alike.

    In place of the one detection that NMS would leave of an object, all entries that are right
    about it share its weight. The gradient is the error-driven update of
    :func:`imbdet.losses.ap_loss`: AP itself has none.
    """
    loss = entries.log_odds.sum() * 0
    for threshold in IOU_THRESHOLDS:
        is_right = entries.is_counted & (entries.ious >= threshold)
        for label in is_right.any(dim=0).nonzero().squeeze(1):
            right = is_right[:, label]
            gt_idxs = entries.gt_idxs[right, label]
            weights = torch.ones_like(entries.log_odds[:, label])
            weights[right] = 1 / gt_idxs.bincount()[gt_idxs].to(weights)
            labels = (~right).long().masked_fill(~entries.is_counted[:, label], -1)
            loss = loss + ap_loss(entries.log_odds[:, label, None], labels, weights=weights)
    return loss


def of_objects(entries: Entries, is_meant: Tensor) -> Entries:
    """The entries for a loss of some objects, (G,) bool; those right about others are ignored."""
    is_right = entries.ious >= IOU_THRESHOLDS[0]
    is_other = torch.zeros_like(is_right)
    is_other[is_right] = ~is_meant[entries.gt_idxs[is_right]]
    return replace(entries, is_counted=entries.is_counted & ~is_other)


VALIDATION_LOSSES: dict[str, Callable[[Entries], Tensor]] = {
    "likelihood": likelihood,
    "ranking": ranking,
}
