"""Online hard example mining (OHEM): learn from the candidates with the highest losses.

Shrivastava et al., "Training Region-based Object Detectors with Online Hard Example Mining",
CVPR 2016, https://arxiv.org/abs/1604.03540
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from imbdet.methods import NEGATIVE_SAMPLERS, POSITIVE_SAMPLERS
from imbdet.methods.options import Share
from imbdet.ops.nms import suppressed_last
from imbdet.samplers.sampler import Pick
from imbdet.structures import Candidates


@POSITIVE_SAMPLERS.register(
    "ohem",
    "The highest classification losses.",
    "Shrivastava et al., CVPR 2016, https://arxiv.org/abs/1604.03540",
    also=NEGATIVE_SAMPLERS,
    for_anchors={"nms_thresh": 1.0},
)
@dataclass(frozen=True)
class HardSampler:
    """Picks the min(quota, n) of a pool of n with the highest losses; see :class:`PoolSampler`.

    The loss is the classification loss (the paper adds the box loss). Equal losses keep the order
    of the pool, so nothing is random; NaN counts as the highest loss.

    Attributes:
        nms_thresh: IoU threshold of greedy NMS by loss; 1 disables it. A suppressed box is picked
            only if those that NMS keeps do not fill the quota, so that copies of one hard region do
            not (paper: 0.7). The time is quadratic: for thousands of proposals, not for all
            anchors.
    """

    nms_thresh: Share = 1.0

    needs = frozenset({"losses"})

    def __call__(
        self,
        candidates: Candidates,
        pool: Tensor,
        quota: int,
        generator: torch.Generator | None = None,
    ) -> Pick:
        losses = candidates.require_losses()[pool]
        hardest = pool[losses.argsort(descending=True, stable=True)]
        if self.nms_thresh < 1:
            hardest = hardest[suppressed_last(candidates.boxes_of(hardest), self.nms_thresh)]
        return Pick(hardest[:quota])
