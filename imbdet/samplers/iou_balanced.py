"""Negatives in equal numbers for every range of IoU, as hard ones overlap with an object.

Pang et al., "Libra R-CNN: Towards Balanced Learning for Object Detection", CVPR 2019,
https://arxiv.org/abs/1904.02701
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from imbdet.ops.precision import at_least_float32
from imbdet.samplers.groups import share_evenly
from imbdet.samplers.sampler import Pick, floor_quota
from imbdet.samplers.uniform import shuffle
from imbdet.structures import Candidates


@dataclass(frozen=True)
class IoUBalancedNegatives:
    """Picks negatives, min(quota, n) of a pool of n; see :class:`PoolSampler`.

    Negatives of a low IoU form the *floor set*, all others the *IoU set*, whose IoUs fall into K
    equal bins up to the highest one of the pool. In this order, each at random:

    1. quota * (1 - floor_fraction) of the IoU set, an equal share of each bin first;
    2. the floor set;
    3. the rest of the IoU set.

    The published code puts the highest bin up to the best box of all, a positive, and with a
    ``floor_thr`` of -1 works as with 0 from its second call on. Here no call depends on another.

    Attributes:
        floor_thr: IoU in [0, 1] below which a negative belongs to the floor set; 0: those whose IoU
            is 0; -1: none.
        floor_fraction: in [0, 1], part of the quota that is kept for the floor set.
        num_bins: K >= 1.
    """

    floor_thr: float = -1.0
    floor_fraction: float = 0.0
    num_bins: int = 3

    def __post_init__(self) -> None:
        if self.floor_thr != -1 and not 0 <= self.floor_thr <= 1:
            raise ValueError(f"floor_thr must be -1 or in [0, 1], not {self.floor_thr}")
        if not 0 <= self.floor_fraction <= 1:
            raise ValueError(f"floor_fraction must be in [0, 1], not {self.floor_fraction}")
        if self.num_bins < 1:
            raise ValueError(f"num_bins must be at least 1, not {self.num_bins}")

    def __call__(
        self,
        candidates: Candidates,
        pool: Tensor,
        quota: int,
        generator: torch.Generator | None = None,
    ) -> Pick:
        ious = at_least_float32(candidates.ious[pool])
        is_floor = ious < self.floor_thr if self.floor_thr > 0 else ious <= self.floor_thr
        iou_set, floor_set = pool[~is_floor], shuffle(pool[is_floor], generator)
        balanced = floor_quota(quota * (1 - self.floor_fraction))
        if len(iou_set) > balanced:
            share = balanced // self.num_bins
            iou_set = share_evenly(iou_set, self._bins(ious[~is_floor]), share, generator)
        return Pick(torch.cat([iou_set[:balanced], floor_set, iou_set[balanced:]])[:quota])

    def _bins(self, ious: Tensor) -> Tensor:
        """(n,) int64 in [0, K), the bins of the IoU set, (n,), n > 0; the last one is closed."""
        lowest = max(self.floor_thr, 0.0)
        steps = torch.arange(1, self.num_bins, device=ious.device)
        inner_edges = lowest + (ious.max() - lowest) * steps / self.num_bins
        return torch.bucketize(ious, inner_edges, right=True)
