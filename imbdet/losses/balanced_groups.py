"""Balanced group softmax (BAGS): classes compete only with those that are about as frequent.

Li et al., "Overcoming Classifier Imbalance for Long-tail Object Detection with Balanced Group
Softmax", CVPR 2020, https://arxiv.org/abs/2006.10408

Shape shorthand: M samples, K classes, G groups, C = K + 1 + G columns of logits.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from imbdet.losses.class_cross_entropy import check_class_numbers, check_columns, used_logits
from imbdet.losses.reduction import reduce_losses
from imbdet.ops.labels import check_labels
from imbdet.ops.precision import at_least_float32
from imbdet.options import NonNegative, checked


class BalancedGroups:
    """Classes by the number of their samples, and the background in a group of its own, the last.

    Each group has columns of logits: one for all others, then its classes, ascending.

    Attributes:
        num_classes: K.
        sizes: G numbers of columns.
        targets: (G, K + 1) int64, the column within each group that is right for a label; 0 where
            the label belongs to the others.
    """

    def __init__(self, counts: Tensor, bounds: Sequence[int] = (10, 100, 1000)):
        """Make the groups.

        Args:
            counts: (K,) number of training samples of each class.
            bounds: ascending; a class goes to the group after the last bound that is not above its
                number. A group may be empty.

        Raises:
            ValueError: counts are no vector, or one is negative.
        """
        check_class_numbers("counts", counts, counts.numel())
        self.num_classes = len(counts)
        bins = torch.bucketize(counts, torch.tensor(bounds, device=counts.device), right=True)
        groups = torch.cat([bins, bins.new_tensor([len(bounds) + 1])])
        is_member = groups == torch.arange(len(bounds) + 2, device=counts.device)[:, None]
        self.sizes = (1 + is_member.sum(dim=1)).tolist()
        self.targets: Tensor = is_member.cumsum(dim=1) * is_member

    @property
    def num_columns(self) -> int:
        """C, of the logits."""
        return sum(self.sizes)

    def targets_of(self, gt_labels: Tensor) -> Tensor:
        """(G, M) columns within the groups for labels (M,); of ignored samples without meaning."""
        return self.targets.to(gt_labels.device)[:, gt_labels.clamp(min=0)]

    def scores(self, pred_logits: Tensor) -> Tensor:
        """Scores of the classes and the background.

        The softmax within its group, times the score that it is not background.

        Args:
            pred_logits: (M, C) logits.

        Returns:
            (M, K + 1) in [0, 1], the background last, float32 at least.
        """
        groups = at_least_float32(pred_logits).split(self.sizes, dim=1)
        probabilities = [logits.softmax(dim=1) for logits in groups]
        foreground, background = probabilities[-1].split(1, dim=1)
        scores: Tensor = background.repeat(1, self.num_classes + 1)
        for target, in_group in zip(self.targets[:-1], probabilities[:-1], strict=True):
            classes = target.nonzero().squeeze(1).to(scores.device)
            scores[:, classes] = in_group[:, 1:] * foreground
        return scores


@checked
def draw_group_samples(
    gt_labels: Tensor,
    groups: BalancedGroups,
    *,
    beta: NonNegative = 8.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Which samples each group learns from: its own, and some of the others.

    A group without own samples learns nothing; that of the background learns from all.

    Args:
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        groups: of the classes.
        beta: how many others are drawn for each own sample.
        generator: of the device of the labels; None is torch's.

    Returns:
        (G, M) bool; ignored samples are in no group.
    """
    is_used = gt_labels >= 0
    is_own = (groups.targets_of(gt_labels) > 0) & is_used
    chosen = is_own.clone()
    chosen[-1] = is_used
    for own, row in zip(is_own[:-1], chosen[:-1], strict=True):
        others = (is_used & ~own).nonzero().squeeze(1)
        order = torch.randperm(len(others), generator=generator, device=others.device)
        row[others[order[: int(beta * int(own.sum()))]]] = True
    return chosen


def balanced_group_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    groups: BalancedGroups,
    samples: Tensor,
    *,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """Cross-entropy of the softmax within each group, a mean over its samples, summed over groups.

    Args:
        pred_logits: (M, C) logits.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        groups: of the classes.
        samples: (G, M) bool, which samples each group learns from, of :func:`draw_group_samples`.
        weights: (M,) factors of the samples, or None.
        reduction: "none" or "sum".

    Returns:
        (M,) losses, 0 for ignored samples; or their sum, which is the loss: no normalizer is due.

    Raises:
        ValueError: the shapes differ.
    """
    check_labels(pred_logits, gt_labels, groups.num_classes)
    check_columns(pred_logits, groups.num_columns)
    expected = len(groups.sizes), len(gt_labels)
    if samples.shape != expected:
        raise ValueError(f"samples must have the shape {expected}, not {tuple(samples.shape)}")
    by_group = used_logits(pred_logits, gt_labels).split(groups.sizes, dim=1)
    samples = samples & (gt_labels >= 0)
    losses = torch.stack(
        [
            F.cross_entropy(logits, target, reduction="none")
            for logits, target in zip(by_group, groups.targets_of(gt_labels), strict=True)
        ]
    )
    shares = samples.to(losses) / samples.sum(dim=1, keepdim=True).clamp(min=1)
    return reduce_losses((losses * shares).sum(dim=0), weights, reduction)
