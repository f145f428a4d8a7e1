"""Positives in equal numbers for every object, however many boxes match it.

Pang et al., "Libra R-CNN: Towards Balanced Learning for Object Detection", CVPR 2019,
https://arxiv.org/abs/1904.02701
"""

import torch
from torch import Tensor

from imbdet.methods import POSITIVE_SAMPLERS
from imbdet.samplers.groups import share_evenly
from imbdet.samplers.sampler import Pick
from imbdet.structures import Candidates


@POSITIVE_SAMPLERS.register(
    "instance_balanced",
    "As many of each object as of any other.",
    "Pang et al., CVPR 2019, https://arxiv.org/abs/1904.02701",
)
def pick_instance_balanced(
    candidates: Candidates,
    pool: Tensor,
    quota: int,
    generator: torch.Generator | None = None,
) -> Pick:
    """Pick positives, min(quota, n) of a pool of n; see :class:`PoolSampler`.

    Of the positives of each of G ground truths, floor(quota / G) are drawn at random, or all if
    there are fewer; the rest of the quota is drawn at random from the others. The published
    code draws round(quota / G) + 1 each and trims at random, and may draw a sample twice.
    """
    instances = candidates.gt_idxs[pool]
    share = quota // max(len(instances.unique()), 1)  # sec. 3.1
    return Pick(share_evenly(pool, instances, share, generator)[:quota])
