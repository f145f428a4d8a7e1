"""Task-aligned assignment: positives are the priors that classify and localise an object best.

Feng et al., "TOOD: Task-aligned One-stage Object Detection", ICCV 2021,
https://arxiv.org/abs/2108.07755, section 3.2
"""

import torch
from torch import Tensor

from imbdet.assigners.assigner import looks_at_outputs
from imbdet.assigners.pairs import (
    MIN_BORDER_DISTANCE,
    BestObject,
    PredictedBoxes,
    border_distance,
    chunks,
    lowest,
)
from imbdet.methods import ASSIGNERS
from imbdet.methods.options import Count, NonNegative
from imbdet.structures import Assignment, Outputs, Priors, Targets


@ASSIGNERS.register(
    "task_aligned",
    "The priors that classify and localise an object best, as in TOOD.",
    "Feng et al., ICCV 2021, https://arxiv.org/abs/2108.07755",
    inside=True,
    grades=True,
)
@looks_at_outputs
@torch.no_grad()
def task_aligned(
    priors: Priors,
    targets: Targets,
    outputs: Outputs,
    *,
    topk: Count = 13,
    alpha: NonNegative = 1.0,
    beta: NonNegative = 6.0,
) -> Assignment:
    """Assign to an object those of the ``topk`` priors aligned best whose point lies in it.

    The alignment is t = score^alpha * IoU^beta of the predicted box (eq. 3), and must be above 0. A
    prior that several objects claim goes to the one with the highest IoU, among equal ones to the
    first. Among priors that align equally the first are chosen.

    Args:
        priors: anchors or points.
        targets: the objects.
        outputs: outputs of the head.
        topk: largest number of priors of an object.
        alpha: exponent of the score.
        beta: exponent of the IoU.

    Returns:
        ``ious`` are those of the predicted boxes. ``quality`` is the normalised alignment,
        scaled so that the highest of an object's positives equals their highest IoU (section 3.3).
    """
    best, predicted = BestObject(priors, targets), PredictedBoxes(priors, targets, outputs)
    for chunk in chunks(priors, targets):
        # Nearly all pairs do not overlap, and have the alignment 0; but 0^0 is 1.
        may_align = predicted.overlap(chunk) | (beta == 0)  # (g, R)
        objects, idxs = may_align.nonzero().unbind(dim=1)
        ious = predicted.iou_at(objects + chunk.start, idxs)
        scores = _scores(outputs, priors, targets, objects + chunk.start, idxs)
        costs = ious.new_full(may_align.shape, torch.inf)
        costs[objects, idxs] = -(scores**alpha * ious**beta)  # eq. 3

        idxs = lowest(costs, min(topk, len(priors)))  # (g, C)
        objects = torch.arange(chunk.start, chunk.stop, device=idxs.device)
        objects = objects.repeat_interleave(idxs.shape[1])
        ious = predicted.iou_at(objects, idxs.flatten()).view_as(idxs)
        borders = border_distance(priors.points[idxs], targets.boxes[chunk, None])
        is_wanted = (costs.gather(1, idxs) < 0) & (borders > MIN_BORDER_DISTANCE)
        best.update_at(torch.where(is_wanted, ious, -torch.inf), idxs, chunk)
    assignment = best.assignment()
    return grade(assignment, targets, outputs, alpha, beta)


def _scores(
    outputs: Outputs, priors: Priors, targets: Targets, objects: Tensor, idxs: Tensor
) -> Tensor:
    """(n,) scores of some objects' classes, (n,) int64, at priors of their images, (n,) int64."""
    num_classes = outputs.logits.shape[1]
    first = targets.image_idxs * (len(priors) * num_classes) + targets.classes
    places = first.index_select(0, objects) + idxs * num_classes
    return outputs.logits.reshape(-1).index_select(0, places).to(targets.boxes.dtype).sigmoid()


def grade(
    assignment: Assignment, targets: Targets, outputs: Outputs, alpha: float, beta: float
) -> Assignment:
    """The assignment with normalised alignments as ``quality``; see :func:`task_aligned`."""
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
