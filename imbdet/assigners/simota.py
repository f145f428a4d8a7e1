"""SimOTA: the priors near an object whose predictions fit it at the lowest cost.

Ge et al., "YOLOX: Exceeding YOLO Series in 2021", https://arxiv.org/abs/2107.08430, section 2.1
"""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from imbdet.assigners.assigner import looks_at_outputs
from imbdet.assigners.costs import iou_cost
from imbdet.assigners.dynamic_k import match_dynamic_k
from imbdet.assigners.pairs import (
    any_object,
    border_distance,
    center_offset,
    logits_of_class,
    of_image,
)
from imbdet.methods import ASSIGNERS
from imbdet.methods.options import Count, NonNegative, Positive
from imbdet.structures import Assignment, Outputs, Priors, Targets

# Cost of a prior unless it is both in the object and near its centre: it ranks after those.
OUTSIDE_COST = 1e5


@ASSIGNERS.register(
    "simota",
    "The better the predictions around an object, the more priors it gets, those of lowest cost.",
    "Ge et al., https://arxiv.org/abs/2107.08430",
    uses=("strides",),
)
@looks_at_outputs
@torch.no_grad()
def simota(
    priors: Priors,
    targets: Targets,
    outputs: Outputs,
    *,
    center_radius: Positive = 2.5,
    candidate_topk: Count = 10,
    iou_weight: NonNegative = 3.0,
    cls_weight: NonNegative = 1.0,
) -> Assignment:
    """Candidates lie in any object or near its centre; see :func:`match_dynamic_k` for the rest.

    The cost is cls_weight * cross-entropy - iou_weight * ln IoU of the predicted box. Priors that
    are not in the object *and* near its centre cost more than all others.

    Args:
        priors: anchors or points with strides.
        targets: the objects.
        outputs: outputs of the head.
        center_radius: half the side of the square around an object's centre, in strides.
        candidate_topk: number of IoUs whose sum is the number of an object's positives.
        iou_weight: weight of -ln IoU in the cost.
        cls_weight: weight of the cross-entropy in the cost.

    Returns:
        ``ious`` are those of the predicted boxes.
    """
    strides = priors.require_strides()

    def regions(chunk: slice) -> tuple[Tensor, Tensor]:
        gt_boxes = targets.boxes[chunk]
        is_inside = border_distance(priors.points, gt_boxes[:, None]) > 0
        return is_inside, center_offset(priors, gt_boxes) < center_radius * strides

    logits = outputs.logits.double()
    background_loss = softplus(logits).sum(dim=1)  # cross-entropy of the background

    def cost(chunk: slice, ious: Tensor) -> Tensor:
        # For the true class ln(1 + e^-x) = ln(1 + e^x) - x replaces ln(1 + e^x).
        of_class = logits_of_class(logits, priors, targets, chunk)
        cls_cost = of_image(background_loss, priors, targets.image_idxs[chunk]) - of_class
        is_inside, is_central = regions(chunk)
        outside_cost = torch.where(is_inside & is_central, 0.0, OUTSIDE_COST)
        # In double precision the outside cost does not absorb the differences of the other terms.
        # Equation 1; a prior outside costs much more.
        return cls_weight * cls_cost + iou_weight * iou_cost(ious.double()) + outside_cost

    is_candidate = any_object(priors, targets, lambda chunk: torch.logical_or(*regions(chunk)))
    return match_dynamic_k(priors, targets, outputs, is_candidate, cost, candidate_topk)
