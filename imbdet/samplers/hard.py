"""Online hard example mining (OHEM): learn from the candidates with the highest losses.

Shrivastava et al., "Training Region-based Object Detectors with Online Hard Example Mining",
CVPR 2016, https://arxiv.org/abs/1604.03540
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import nms

from imbdet.methods import NEGATIVE_SAMPLERS, POSITIVE_SAMPLERS
from imbdet.ops.precision import at_least_float32
from imbdet.options import Share
from imbdet.samplers.sampler import Pick, needed
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

    The loss is that of the classification (the paper's includes the box loss). Equal losses keep
    the pool's order, so nothing is random; NaN counts as the highest loss.

    Attributes:
        nms_thresh: IoU. A box that overlaps more than this with one of a higher loss that stays is
            a copy of it and comes last, where the others are too few (paper: 0.7), so that copies
            of one hard region do not fill the quota. 1: no suppression. Its cost is quadratic: for
            thousands of proposals, not for all anchors.
    """

    nms_thresh: Share = 1.0

    needs = frozenset({"cls_losses"})

    def __call__(
        self,
        candidates: Candidates,
        pool: Tensor,
        quota: int,
        generator: torch.Generator | None = None,
    ) -> Pick:
        predictions = needed(candidates.predictions)
        losses = needed(predictions.cls_losses)[pool]
        hardest = pool[losses.argsort(descending=True, stable=True)]
        if self.nms_thresh < 1:
            hardest = hardest[_suppressed_last(predictions.boxes[hardest], self.nms_thresh)]
        return Pick(hardest[:quota])


def _suppressed_last(boxes: Tensor, thresh: float) -> Tensor:
    """(n,) int64 order of boxes (n, 4), best first: those that greedy NMS keeps, the others."""
    boxes = at_least_float32(boxes)
    # Places instead of losses: they are finite and have no ties.
    places = torch.arange(len(boxes), device=boxes.device)
    kept = nms(boxes, -places.to(boxes.dtype), thresh)
    is_suppressed = torch.ones_like(places, dtype=torch.bool)
    is_suppressed[kept] = False
    return torch.cat([kept, places[is_suppressed]])
