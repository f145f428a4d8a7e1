"""Dynamic k: an object gets its k cheapest priors, and the better its predictions, the larger k.

Ge et al., "YOLOX: Exceeding YOLO Series in 2021", https://arxiv.org/abs/2107.08430, section 2.1;
after "OTA: Optimal Transport Assignment for Object Detection", CVPR 2021.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from imbdet.assigners.pairs import (
    BestObject,
    PredictedBoxes,
    choose_lowest,
    chunks,
    iou_of_assigned,
    of_image,
)
from imbdet.structures import Assignment, Outputs, Priors, Targets


def match_dynamic_k(
    priors: Priors,
    targets: Targets,
    outputs: Outputs,
    is_candidate: Tensor,
    cost: Callable[[slice, Tensor], Tensor],
    topk: int,
) -> Assignment:
    """Give each object its k cheapest candidates, k being the sum of its ``topk`` highest IoUs.

    k is rounded down and at least 1. A candidate that several objects chose goes to the object for
    which it is cheapest, even if that one did not choose it. Ties go to the first prior and to the
    first object.

    Args:
        priors: anchors or points.
        targets: the objects.
        outputs: outputs of the head.
        is_candidate: (M,) bool, rows that may become positive.
        cost: function of a slice of objects and the (g, R) IoUs of the predicted boxes that returns
            (g, R) costs in float64.
        topk: largest number of IoUs in the sum.
    """
    cheapest, chosen = (BestObject(priors, targets, torch.float64) for _ in range(2))
    num_chosen = torch.zeros_like(chosen.gt_idxs)
    predicted = PredictedBoxes(priors, targets, outputs)
    for chunk in chunks(priors, targets):
        images = targets.image_idxs[chunk]
        is_excluded = ~of_image(is_candidate, priors, images)
        ious = predicted.iou(chunk).masked_fill_(is_excluded, 0)
        numbers = ious.topk(min(topk, len(priors)), dim=1).values.sum(dim=1).long().clamp(min=1)
        costs = cost(chunk, ious).masked_fill(is_excluded, torch.inf)
        is_chosen = choose_lowest(costs, numbers)
        num_chosen.unflatten(0, (-1, len(priors))).index_add_(0, images, is_chosen.long())
        cheapest.update(-costs, chunk)
        chosen.update(torch.where(is_chosen, -costs, -torch.inf), chunk)
    gt_idxs = torch.where(num_chosen > 1, cheapest.gt_idxs, chosen.gt_idxs)
    return Assignment(gt_idxs, iou_of_assigned(outputs, targets, gt_idxs))
