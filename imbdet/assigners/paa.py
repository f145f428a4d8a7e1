"""PAA: a mixture of two distributions, fitted to losses, decides how many priors an object gets.

Kim and Lee, "Probabilistic Anchor Assignment with IoU Prediction for Object Detection", ECCV 2020,
https://arxiv.org/abs/2007.08103, section 3 and algorithm 1
"""

import torch
from torch import Tensor

from imbdet.assigners.assigner import looks_at_outputs
from imbdet.assigners.costs import ALPHA, focal_cost
from imbdet.assigners.max_iou import highest_ious
from imbdet.assigners.mixture import fit_two_gaussians
from imbdet.assigners.pairs import box_giou, iou_of_assigned
from imbdet.methods import ASSIGNERS
from imbdet.methods.options import Count, NonNegative, Share
from imbdet.ops.local_rank import position_in_group
from imbdet.structures import Assignment, Outputs, Priors, Targets


@ASSIGNERS.register(
    "paa",
    "The priors of an object whose losses belong to the lower of two normal distributions.",
    "Kim and Lee, ECCV 2020, https://arxiv.org/abs/2007.08103",
    uses=("levels",),
)
@looks_at_outputs
@torch.no_grad()
def paa(
    priors: Priors,
    targets: Targets,
    outputs: Outputs,
    *,
    topk: Count = 9,
    iou_threshold: Share = 0.1,
    giou_weight: NonNegative = 1.3,
) -> Assignment:
    """Assign to an object the priors overlapping it that :func:`split_losses` makes positive.

    A prior is a candidate of the object that it overlaps most, from an IoU of ``iou_threshold`` on.
    The prior that overlaps an object most of all priors is a candidate of that object instead, as
    in MMDetection, and of the last one if there are several; in the authors' code it stays with the
    object that it overlaps most. The loss of a candidate is the focal loss of all its classes
    + giou_weight * (1 - GIoU of the predicted box). All other priors are background: nothing is
    ignored.

    Args:
        priors: anchors or points on the levels of a feature pyramid.
        targets: the objects.
        outputs: outputs of the head.
        topk: number of candidates of an object on each level, at most.
        iou_threshold: IoU of a prior from which it is a candidate.
        giou_weight: weight of 1 - GIoU in the loss; the authors' code has 1.

    Returns:
        ``ious`` are those of the predicted boxes.
    """
    nearest, best_of = highest_ious(priors, targets, above=0.0)
    matched = torch.where(nearest.values >= iou_threshold, nearest.gt_idxs, -1)
    matched = torch.where(best_of >= 0, best_of, matched)
    rows = (matched >= 0).nonzero().squeeze(1)
    gt_idxs = matched[rows]
    losses = _losses(outputs, targets, rows, gt_idxs, giou_weight)
    levels = priors.levels_at(rows)
    level_idxs = torch.zeros_like(rows) if levels is None else levels.idxs
    is_positive = split_losses(losses, gt_idxs, level_idxs, topk=topk)
    assigned = torch.full_like(matched, -1)
    assigned[rows] = torch.where(is_positive, gt_idxs, -1)
    return Assignment(assigned, iou_of_assigned(outputs, targets, assigned))


def split_losses(losses: Tensor, gt_idxs: Tensor, level_idxs: Tensor, *, topk: int = 9) -> Tensor:
    """Decide which candidates are positive, by the losses of each object's candidates.

    The ``topk`` lowest losses of each level take part, of equal ones the first. Two normal
    distributions are fitted to them; positive are the losses from the lowest up to that of the
    highest density among those which belong to the lower distribution (figure 3c). A single
    candidate is positive, and so are all where none belongs to the lower distribution.

    The fit is that of scikit-learn, which the published code calls object by object: all objects
    are fitted at once here, without leaving the device, and in double precision whatever the type
    of the losses.

    Args:
        losses: (P,) losses of the candidates.
        gt_idxs: (P,) int64, objects of the candidates.
        level_idxs: (P,) int64, levels of the candidates.
        topk: number of candidates of an object on each level, at most.

    Returns:
        (P,) bool, whether each candidate is positive.
    """
    is_positive = torch.zeros_like(gt_idxs, dtype=torch.bool)
    if len(losses) == 0:
        return is_positive
    order = losses.argsort(stable=True)
    of_level = gt_idxs * (level_idxs.max() + 1) + level_idxs
    order = order[position_in_group(of_level[order]) < topk]
    ranks, objects = position_in_group(gt_idxs[order]), gt_idxs[order]
    size = int(objects.max()) + 1, int(ranks.max()) + 1
    values = losses.new_zeros(size, dtype=torch.float64)
    is_valid = torch.zeros(size, dtype=torch.bool, device=losses.device)
    values[objects, ranks] = losses[order].double()
    is_valid[objects, ranks] = True
    is_positive[order] = ranks < _number_of_positives(values, is_valid)[objects]
    return is_positive


def _number_of_positives(values: Tensor, is_valid: Tensor) -> Tensor:
    """(S,) int64 numbers of positives among the (S, n) ascending losses."""
    log_densities = fit_two_gaussians(values, is_valid).log_densities(values)
    is_lower = (log_densities[..., 0] >= log_densities[..., 1]) & is_valid
    log_density = log_densities.logsumexp(dim=2).masked_fill(~is_lower, -torch.inf)
    densest = log_density == log_density.amax(dim=1, keepdim=True)
    first = densest.int().argmax(dim=1)
    number = is_valid.sum(dim=1)
    return torch.where(is_lower.any(dim=1) & (number > 1), first + 1, number)


def _losses(
    outputs: Outputs, targets: Targets, rows: Tensor, gt_idxs: Tensor, giou_weight: float
) -> Tensor:
    """(P,) float64 losses of candidates, which are rows of the batch, with their objects."""
    logits = outputs.logits[rows].double()
    background_loss = focal_cost(logits, 1 - ALPHA).sum(dim=1)
    of_class = logits.gather(1, targets.classes[gt_idxs, None]).squeeze(1)
    if_object, if_background = focal_cost(-of_class, ALPHA), focal_cost(of_class, 1 - ALPHA)
    cls_losses = background_loss + (if_object - if_background)
    boxes = outputs.require_boxes()[rows].double()
    return cls_losses + giou_weight * (1 - box_giou(boxes, targets.boxes[gt_idxs].double()))
