"""Hierarchical local rank (HLR): which samples matter most for the mean average precision.

Cao et al., "Prime Sample Attention in Object Detection", CVPR 2020,
https://arxiv.org/abs/1904.04821

Of the samples around one object only the best can become a true positive, so every object's best
sample comes before any object's second.
"""

import torch
from torch import Tensor


def hierarchical_local_rank(
    values: Tensor, group_idxs: Tensor, class_idxs: Tensor | None = None
) -> Tensor:
    """Position of each sample if all groups' best samples come first, then all second-best, ...

    Samples of one group are ranked by value, and so are samples of equal rank. Ties keep the order
    of the rows.

    Args:
        values: (R,) quality, the higher the better: IoU after regression for positives, score for
            negatives.
        group_idxs: (R,) int64, the group in which a sample competes: an object's positives, or
            negatives that overlap. Unique in the batch.
        class_idxs: (R,) int64, each class has its own ranking; None is one for all samples.

    Returns:
        (R,) int64, 0 = most important.
    """
    order = hierarchical_order(values, group_idxs)
    if class_idxs is None:
        positions = torch.arange(len(order), device=order.device)
    else:
        positions = position_in_group(class_idxs[order])
    return torch.empty_like(order).scatter_(0, order, positions)


def hierarchical_order(values: Tensor, group_idxs: Tensor) -> Tensor:
    """(R,) int64, the samples from the most important one on, all in one ranking.

    Args:
        values: see :func:`hierarchical_local_rank`.
        group_idxs: see :func:`hierarchical_local_rank`.
    """
    # Three stable sorts, since a single key of rank and value would lose digits.
    by_value = values.argsort(descending=True, stable=True)
    local_ranks = position_in_group(group_idxs[by_value])
    return by_value[local_ranks.argsort(stable=True)]


def position_in_group(group_idxs: Tensor) -> Tensor:
    """(R,) int64, number of members of the same group, (R,) int64, before each element."""
    groups, order = group_idxs.sort(stable=True)
    starts = torch.searchsorted(groups, groups)  # where the own group begins
    positions = torch.arange(len(groups), device=groups.device) - starts
    return torch.empty_like(order).scatter_(0, order, positions)
