"""Dynamic soft labels: SimOTA with the IoU as the target of the classification cost.

Lyu et al., "RTMDet: An Empirical Study of Designing Real-Time Object Detectors",
https://arxiv.org/abs/2212.07784, section 3.3
"""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from imbdet.assigners.assigner import looks_at_outputs
from imbdet.assigners.costs import focal_cost, iou_cost
from imbdet.assigners.dynamic_k import match_dynamic_k
from imbdet.assigners.pairs import (
    any_object,
    border_distance,
    logits_of_class,
    of_image,
    squared_center_distance,
)
from imbdet.methods import ASSIGNERS
from imbdet.methods.options import Count, NonNegative
from imbdet.structures import Assignment, Outputs, Priors, Targets


@ASSIGNERS.register(
    "soft_label",
    "SimOTA with the IoU as the target of its classification cost, as in RTMDet.",
    "Lyu et al., https://arxiv.org/abs/2212.07784",
    uses=("strides",),
)
@looks_at_outputs
@torch.no_grad()
def soft_label(
    priors: Priors,
    targets: Targets,
    outputs: Outputs,
    *,
    soft_center_radius: NonNegative = 3.0,
    topk: Count = 13,
    iou_weight: NonNegative = 3.0,
) -> Assignment:
    """Candidates lie in any object; see :func:`match_dynamic_k` for the rest.

    The cost is the sum of the quality focal loss with the IoU of the predicted box as target (eq.
    2), - iou_weight * ln IoU (eq. 3) and 10^(distance / stride - soft_center_radius) (eq. 4).

    Args:
        priors: anchors or points with strides.
        targets: the objects.
        outputs: outputs of the head.
        soft_center_radius: distance from an object's centre, in strides, whose cost is 1.
        topk: number of IoUs whose sum is the number of an object's positives.
        iou_weight: weight of -ln IoU in the cost.

    Returns:
        ``ious`` are those of the predicted boxes.
    """
    strides = priors.require_strides()
    logits = outputs.logits.double()
    background_loss = focal_cost(logits).sum(dim=1)

    def cost(chunk: slice, ious: Tensor) -> Tensor:
        images = targets.image_idxs[chunk]
        of_class = logits_of_class(logits, priors, targets, chunk)
        ious = ious.double()
        if_object = (softplus(of_class) - ious * of_class) * (ious - of_class.sigmoid()).square()
        cls_cost = of_image(background_loss, priors, images) - focal_cost(of_class) + if_object
        distances = squared_center_distance(priors.points, targets.boxes[chunk]).sqrt() / strides
        center_cost = 10 ** (distances.double() - soft_center_radius)
        return cls_cost + iou_weight * iou_cost(ious) + center_cost

    def is_inside(chunk: slice) -> Tensor:
        return border_distance(priors.points, targets.boxes[chunk, None]) > 0

    is_candidate = any_object(priors, targets, is_inside)
    return match_dynamic_k(priors, targets, outputs, is_candidate, cost, topk)
