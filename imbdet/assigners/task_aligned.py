"""Task-aligned assignment: positives are the priors that classify and localise an object best.

Feng et al., "TOOD: Task-aligned One-stage Object Detection", ICCV 2021,
https://arxiv.org/abs/2108.07755, section 3.2
"""

import torch
from torch import Tensor

from imbdet.assigners.pairs import (
    MIN_BORDER_DISTANCE,
    BestObject,
    border_distance,
    choose_lowest,
    chunks,
    predicted_iou,
    scores_of_class,
)
from imbdet.structures import Assignment, Outputs, Priors, Targets


@torch.no_grad()
def task_aligned(
    priors: Priors,
    targets: Targets,
    outputs: Outputs,
    *,
    topk: int = 13,
    alpha: float = 1.0,
    beta: float = 6.0,
) -> Assignment:
    """Of the ``topk`` priors that align best with an object, those whose point lies in it.

    The alignment is t = score^alpha * IoU^beta of the predicted box (eq. 3), and must be above 0. A
    prior that several objects claim goes to the one with the highest IoU, among equal ones to the
    first. Among priors that align equally the first are chosen.

    Args:
        priors: anchors or points.
        targets: the objects.
        outputs: what the head predicts.
        topk: largest number of priors of an object.
        alpha: exponent of the score, >= 0.
        beta: exponent of the IoU, >= 0.

    Returns:
        ``ious`` are those of the predicted boxes. ``quality`` is the normalised alignment,
        scaled so that the highest of an object's positives equals their highest IoU (section 3.3).
    """
    best = BestObject(priors, targets)
    for chunk in chunks(priors, targets):
        ious = predicted_iou(outputs, priors, targets, chunk)  # (g, R)
        alignment = scores_of_class(outputs, priors, targets, chunk) ** alpha * ious**beta  # eq. 3
        is_wanted = choose_lowest(-alignment, min(topk, len(priors))) & (alignment > 0)
        borders = border_distance(priors.points, targets.boxes[chunk, None])
        is_wanted &= borders > MIN_BORDER_DISTANCE
        best.update(torch.where(is_wanted, ious, -torch.inf), chunk)
    assignment = best.assignment()
    quality = _normalized_alignment(assignment, targets, outputs, alpha, beta)
    return Assignment(assignment.gt_idxs, assignment.ious, quality)


def _normalized_alignment(
    assignment: Assignment, targets: Targets, outputs: Outputs, alpha: float, beta: float
) -> Tensor:
    """(M,) alignments, scaled to the highest IoU of the object's positives."""
    rows = (assignment.gt_idxs >= 0).nonzero().squeeze(1)
    gt_idxs, ious = assignment.gt_idxs[rows], assignment.ious[rows]
    scores = outputs.logits[rows, targets.classes[gt_idxs]].to(ious.dtype).sigmoid()
    alignment = scores**alpha * ious**beta
    zeros = ious.new_zeros(len(targets))
    max_alignment = zeros.scatter_reduce(0, gt_idxs, alignment, "amax")
    max_iou = zeros.scatter_reduce(0, gt_idxs, ious, "amax")
    quality = torch.zeros_like(assignment.ious)
    # The constant is the published one (written 10e-8).
    quality[rows] = alignment / (max_alignment[gt_idxs] + 1e-7) * max_iou[gt_idxs]
    return quality
