"""ATSS: the IoU threshold of an object follows from the statistics of the priors around it.

Zhang et al., "Bridging the Gap Between Anchor-based and Anchor-free Detection via Adaptive Training
Sample Selection", CVPR 2020, https://arxiv.org/abs/1912.02424, algorithm 1
"""

import torch
from torch import Tensor

from imbdet.assigners.pairs import (
    MIN_BORDER_DISTANCE,
    BestObject,
    border_distance,
    box_iou,
    choose_lowest,
    chunks,
    squared_center_distance,
)
from imbdet.structures import Assignment, Outputs, Priors, Targets


@torch.no_grad()
def atss(
    priors: Priors,
    targets: Targets,
    outputs: Outputs | None = None,
    *,
    topk: int = 9,
    alpha: float = 0.8,
) -> Assignment:
    """Of the priors near an object's centre, those with an IoU of at least mean + deviation.

    A prior that several objects claim goes to the one with the highest IoU, among equal ones to the
    first. Among priors at the same distance from the centre the first are candidates.

    Args:
        priors: anchors on the levels of a feature pyramid.
        targets: the objects.
        outputs: if given, score^(1 - alpha) * IoU^alpha of the predicted boxes replaces the IoU:
            the cost of DDOD, Chen et al., ACM MM 2021, https://arxiv.org/abs/2107.02963.
        topk: number of candidates of an object on each level, at most.
        alpha: in [0, 1].

    Returns:
        ``ious`` are the values that were compared with the threshold.
    """
    best = BestObject(priors, targets)
    for chunk in chunks(priors, targets):
        idxs = _candidates(priors, targets.boxes[chunk], topk)  # (g, C)
        gt_boxes = targets.boxes[chunk, None]
        if outputs is None:
            ious = box_iou(priors.boxes[idxs], gt_boxes)
        else:
            rows = targets.image_idxs[chunk, None] * len(priors) + idxs
            scores = outputs.logits[rows, targets.classes[chunk, None]].to(gt_boxes.dtype).sigmoid()
            ious = scores ** (1 - alpha) * box_iou(outputs.require_boxes()[rows], gt_boxes) ** alpha
        # A single candidate has no deviation: as published, it does not become positive.
        deviation = ious.std(dim=1, keepdim=True) if ious.shape[1] > 1 else torch.nan
        threshold = ious.mean(dim=1, keepdim=True) + deviation
        is_inside = border_distance(priors.points[idxs], gt_boxes) > MIN_BORDER_DISTANCE
        wanted = torch.where(is_inside & (ious >= threshold), ious, -torch.inf)
        best.update(_spread(wanted, idxs, len(priors)), chunk)
    return best.assignment()


def _candidates(priors: Priors, gt_boxes: Tensor, topk: int) -> Tensor:
    """(g, C) int64, the priors nearest to each object on each level."""
    levels = squared_center_distance(priors, gt_boxes).split(priors.require_level_sizes(), dim=1)
    is_near = [choose_lowest(level, min(topk, level.shape[1])) for level in levels]
    idxs = torch.cat(is_near, dim=1).nonzero()[:, 1]
    return idxs.view(len(gt_boxes), -1)


def _spread(values: Tensor, idxs: Tensor, num_priors: int) -> Tensor:
    """(g, R) values of the candidates, (g, C), and minus infinity for all other priors."""
    everywhere = values.new_full((len(values), num_priors), -torch.inf)
    return everywhere.scatter(1, idxs, values)
