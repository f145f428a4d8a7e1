"""Negatives in equal numbers from every range of IoU, since hard ones overlap with an object.

Pang et al., "Libra R-CNN: Towards Balanced Learning for Object Detection", CVPR 2019,
https://arxiv.org/abs/1904.02701
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from imbdet.methods import NEGATIVE_SAMPLERS
from imbdet.methods.options import Count, Range, Share
from imbdet.ops.masks import split_idxs
from imbdet.ops.precision import at_least_float32
from imbdet.samplers.groups import share_evenly
from imbdet.samplers.sampler import Pick, floor_quota
from imbdet.samplers.uniform import shuffle
from imbdet.structures import Candidates


@NEGATIVE_SAMPLERS.register(
    "iou_balanced",
    "As many of each range of IoU as of any other.",
    "Pang et al., CVPR 2019, https://arxiv.org/abs/1904.02701",
)
@dataclass(frozen=True)
class IoUBalancedNegatives:
    """Picks negatives, min(quota, n) of a pool of n; see :class:`PoolSampler`.

    Negatives of a low IoU form the *floor set*, all others the *IoU set*, whose IoUs fall into K
    equal bins up to the highest one of the pool. In this order, each at random:

    1. quota * (1 - floor_fraction) of the IoU set, an equal share of each bin first;
    2. the floor set;
    3. the rest of the IoU set.

    In the published code the highest bin extends to the highest IoU of all, a positive's; from the
    second call on a ``floor_thr`` of -1 acts as 0. Here calls do not depend on each other.

    Attributes:
        floor_thresh: IoU below which a negative belongs to the floor set; 0: those whose IoU is 0;
            -1: none.
        floor_fraction: fraction of the quota that is reserved for the floor set.
        num_bins: K, the number of ranges of IoU.
    """

    floor_thresh: Annotated[float, Range(0, 1, besides=-1)] = -1.0
    floor_fraction: Share = 0.0
    num_bins: Count = 3

    def __call__(
        self,
        candidates: Candidates,
        pool: Tensor,
        quota: int,
        generator: torch.Generator | None = None,
    ) -> Pick:
        ious = at_least_float32(candidates.ious[pool])
        thresh = self.floor_thresh
        is_floor = ious < thresh if thresh > 0 else ious <= thresh
        floor_idxs, iou_idxs = split_idxs(is_floor)
        iou_set, floor_set = pool[iou_idxs], shuffle(pool[floor_idxs], generator)
        balanced = floor_quota(quota * (1 - self.floor_fraction))
        if len(iou_set) > balanced:
            share = balanced // self.num_bins  # N / K of the probabilities of eq. 2
            iou_set = share_evenly(iou_set, self._bins(ious[iou_idxs]), share, generator)
        return Pick(torch.cat([iou_set[:balanced], floor_set, iou_set[balanced:]])[:quota])

    def _bins(self, ious: Tensor) -> Tensor:
        """(n,) int64 bins in [0, K) of the IoU set, (n,), n > 0; the last bin is closed."""
        lowest = max(self.floor_thresh, 0.0)
        steps = torch.arange(1, self.num_bins, device=ious.device)
        inner_edges = lowest + (ious.max() - lowest) * steps / self.num_bins
        return torch.bucketize(ious, inner_edges, right=True)
