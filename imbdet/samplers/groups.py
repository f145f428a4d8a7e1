"""Sharing a quota evenly among groups."""

import torch
from torch import Tensor

from imbdet.ops.local_rank import position_in_group
from imbdet.ops.masks import split_idxs
from imbdet.samplers.uniform import random_order, shuffle


def share_evenly(
    pool: Tensor, groups: Tensor, share: int, generator: torch.Generator | None
) -> Tensor:
    """Put ``share`` random members of every group before all others.

    Args:
        pool: (n,) int64 rows of candidates.
        groups: (n,) int64, the group of each member of the pool.
        share: number of members of each group that come first, >= 0; all of a smaller group.
        generator: source of randomness on the pool's device, or None.

    Returns:
        (n,) the pool in its new order, the others at random.
    """
    order = random_order(pool, generator)
    pool, groups = pool[order], groups[order]
    is_first = position_in_group(groups) < share
    first, others = split_idxs(is_first)
    # Shuffled again, as a member that is not among the first of its group tends to come late.
    return torch.cat([pool[first], shuffle(pool[others], generator)])
