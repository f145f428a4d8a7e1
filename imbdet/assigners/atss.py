"""ATSS: the IoU threshold of an object follows from the statistics of the priors around it.

Zhang et al., "Bridging the Gap Between Anchor-based and Anchor-free Detection via Adaptive Training
Sample Selection", CVPR 2020, https://arxiv.org/abs/1912.02424, algorithm 1
"""

from collections.abc import Callable
from itertools import accumulate

import torch
from torch import Tensor

from imbdet.assigners.assigner import looks_at_outputs
from imbdet.assigners.pairs import (
    MIN_BORDER_DISTANCE,
    BestObject,
    border_distance,
    box_iou,
    chunks,
    lowest,
    squared_center_distance,
)
from imbdet.methods import ASSIGNERS
from imbdet.methods.options import Count, Share
from imbdet.structures import Assignment, Outputs, Priors, Targets


@ASSIGNERS.register(
    "atss",
    "Of the priors near an object's centre, those whose IoU is at least mean + deviation.",
    "Zhang et al., CVPR 2020, https://arxiv.org/abs/1912.02424",
    uses=("levels",),
    inside=True,
)
def atss(priors: Priors, targets: Targets, *, topk: Count = 9) -> Assignment:
    """Assign to an object the priors near its centre with an IoU of at least mean + deviation.

    A prior that several objects claim goes to the one with the highest IoU, among equal ones to the
    first. Among points at the same distance from the centre the first are taken, and as in the
    authors' code the candidates are all priors of the points that are taken.

    Args:
        priors: anchors on the levels of a feature pyramid.
        targets: the objects.
        topk: number of points on each level whose priors are candidates of an object, at most.

    Returns:
        ``ious`` are those of the priors' boxes.
    """

    def ious(chunk: slice, idxs: Tensor) -> Tensor:
        return box_iou(priors.boxes[idxs], targets.boxes[chunk, None])

    return _above_threshold(priors, targets, topk, ious)


@ASSIGNERS.register(
    "ddod",
    "ATSS with predictions: score and IoU of the predicted box in place of the prior's IoU.",
    "Chen et al., ACM MM 2021, https://arxiv.org/abs/2107.02963",
    uses=("levels",),
    inside=True,
)
@looks_at_outputs
def ddod(
    priors: Priors, targets: Targets, outputs: Outputs, *, topk: Count = 9, alpha: Share = 0.8
) -> Assignment:
    """ATSS with score^(1 - alpha) * IoU^alpha of the predicted boxes in place of the IoU.

    Chen et al., "Disentangle Your Dense Object Detector", ACM MM 2021,
    https://arxiv.org/abs/2107.02963

    Args:
        priors: anchors on the levels of a feature pyramid.
        targets: the objects.
        outputs: outputs of the head.
        topk: number of points on each level whose priors are candidates of an object, at most.
        alpha: exponent of the IoU; that of the score is 1 - alpha.

    Returns:
        ``ious`` are these products.
    """

    def products(chunk: slice, idxs: Tensor) -> Tensor:
        gt_boxes = targets.boxes[chunk, None]
        rows = targets.image_idxs[chunk, None] * len(priors) + idxs
        scores = outputs.logits[rows, targets.classes[chunk, None]].to(gt_boxes.dtype).sigmoid()
        boxes = outputs.require_boxes()[rows].to(gt_boxes.dtype)
        return scores ** (1 - alpha) * box_iou(boxes, gt_boxes) ** alpha  # eq. 1

    return _above_threshold(priors, targets, topk, products)


@torch.no_grad()
def _above_threshold(
    priors: Priors, targets: Targets, topk: int, measure: Callable[[slice, Tensor], Tensor]
) -> Assignment:
    """Assign to an object the candidates in it whose measure is at least mean + deviation.

    Args:
        priors: anchors on the levels of a feature pyramid.
        targets: the objects.
        topk: see :func:`atss`.
        measure: function of a slice of objects and their candidates, (g, C) int64 priors, that
            returns (g, C) values.

    Returns:
        ``ious`` are the measures.
    """
    best = BestObject(priors, targets)
    for chunk in chunks(priors, targets):
        gt_boxes = targets.boxes[chunk]
        idxs = _candidates(priors, gt_boxes, topk)  # (g, C), lines 3 to 6
        values = measure(chunk, idxs)
        # A single candidate has no deviation: as published, it does not become positive.
        deviation = values.std(dim=1, keepdim=True) if values.shape[1] > 1 else torch.nan
        threshold = values.mean(dim=1, keepdim=True) + deviation  # line 10
        # Lines 11 to 15.
        is_inside = border_distance(priors.points[idxs], gt_boxes[:, None]) > MIN_BORDER_DISTANCE
        wanted = torch.where(is_inside & (values >= threshold), values, -torch.inf)
        best.update_at(wanted, idxs, chunk)
    return best.assignment()


def _candidates(priors: Priors, gt_boxes: Tensor, topk: int) -> Tensor:
    """(g, C) int64, the priors of the ``topk`` points nearest to each object on each level."""
    # The centres of boxes of one point differ by rounding: its first box stands for all.
    points = priors.points[:: priors.num_per_point]
    sizes = [size // priors.num_per_point for size in priors.sizes_of_levels()]
    levels = squared_center_distance(points, gt_boxes).split(sizes, dim=1)
    near = [
        start + lowest(level, min(topk, level.shape[1]))
        for start, level in zip(accumulate(sizes, initial=0), levels, strict=False)
    ]
    firsts = priors.num_per_point * torch.cat(near, dim=1)
    own = torch.arange(priors.num_per_point, device=firsts.device)
    return (firsts[..., None] + own).flatten(1)
