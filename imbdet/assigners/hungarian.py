"""One-to-one matching of priors, or of the queries of a DETR, with objects.

Carion et al., "End-to-End Object Detection with Transformers", ECCV 2020,
https://arxiv.org/abs/2005.12872, section 3.1; with the costs of Zhu et al., "Deformable DETR:
Deformable Transformers for End-to-End Object Detection", ICLR 2021,
https://arxiv.org/abs/2010.04159
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imbdet.assigners.assigner import looks_at_outputs
from imbdet.assigners.costs import ALPHA, GAMMA
from imbdet.assigners.pairs import (
    box_giou,
    choose_lowest,
    chunks_between,
    iou_of_assigned,
    logits_of_class,
    of_image,
)
from imbdet.assigners.task_aligned import grade
from imbdet.methods import ASSIGNERS
from imbdet.methods.options import Count, NonNegative
from imbdet.structures import Assignment, Outputs, Priors, Targets
from imbdet.structures.classifiers import SOFTMAX

# Keeps the logarithms of scores finite. The published cost adds it, so that scores near 0 or 1 cost
# less than by :func:`imbdet.assigners.costs.focal_cost`.
EPS = 1e-12
# Replaces costs of predictions that are not finite.
HIGHEST_COST = 1e10


@ASSIGNERS.register(
    "hungarian",
    "Each object gets one prior, so that all together cost least, as in DETR.",
    "Carion et al., ECCV 2020, https://arxiv.org/abs/2005.12872",
)
@looks_at_outputs
@torch.no_grad()
def hungarian(
    priors: Priors,
    targets: Targets,
    outputs: Outputs,
    *,
    cls_weight: NonNegative = 2.0,
    l1_weight: NonNegative = 5.0,
    giou_weight: NonNegative = 2.0,
    box_format: str = "cxcywh",
) -> Assignment:
    """Each object gets one prior, so that the costs of all pairs have the lowest sum.

    The cost is cls_weight * (focal loss of the object's class - that of its absence) + l1_weight *
    L1 distance of the boxes, relative to the image, - giou_weight * GIoU. For softmax logits -score
    replaces the difference of focal losses. If there are more objects than priors, some get none.
    Which of the cheapest matchings is found depends on the costs alone.

    It needs the costs of all priors and all objects of an image at once, and solves the matching on
    the CPU, for the few priors that can be in it.

    Args:
        priors: priors, of which only the number matters: those of queries may have any boxes.
        targets: the objects, with the sizes of their images.
        outputs: outputs of the head.
        cls_weight: weight of the classification cost.
        l1_weight: weight of the L1 distance of the boxes.
        giou_weight: weight of the GIoU.
        box_format: format of the boxes in the L1 distance: "cxcywh", centres and sizes, or "xyxy",
            corners.

    Returns:
        ``ious`` are those of the predicted boxes.

    Raises:
        ValueError: there is no such format, or the sizes of the images are unknown.
    """
    weights = cls_weight, l1_weight, giou_weight
    cost = _Cost(priors, targets, outputs, weights, box_format)
    gt_idxs = _match(priors, targets, cost, lambda _: 1)
    return Assignment(gt_idxs, iou_of_assigned(outputs, targets, gt_idxs))


@ASSIGNERS.register(
    "topk_hungarian",
    "Hungarian matching with several priors for each object, as in DDQ.",
    "Zhang et al., CVPR 2023, https://arxiv.org/abs/2303.12776",
    grades=True,
)
@looks_at_outputs
@torch.no_grad()
def topk_hungarian(
    priors: Priors,
    targets: Targets,
    outputs: Outputs,
    *,
    topk: Count = 4,
    alpha: NonNegative = 1.0,
    beta: NonNegative = 6.0,
    cls_weight: NonNegative = 2.0,
    l1_weight: NonNegative = 5.0,
    giou_weight: NonNegative = 2.0,
    box_format: str = "xyxy",
) -> Assignment:
    """:func:`hungarian` with ``topk`` copies of each object, or fewer if priors do not suffice.

    Zhang et al., "Dense Distinct Query for End-to-End Object Detection", CVPR 2023,
    https://arxiv.org/abs/2303.12776. If there are more objects than priors, all priors are
    background, as published.

    Args:
        priors: priors, of which only the number matters.
        targets: the objects, with the sizes of their images.
        outputs: outputs of the head.
        topk: number of copies of an object.
        alpha: exponent of the score in the quality.
        beta: exponent of the IoU in the quality.
        cls_weight: weight of the classification cost.
        l1_weight: weight of the L1 distance of the boxes.
        giou_weight: weight of the GIoU.
        box_format: format of the boxes in the L1 distance: "cxcywh", centres and sizes, or "xyxy",
            corners.

    Returns:
        ``ious`` and ``quality`` as :func:`imbdet.assigners.task_aligned` returns them.
    """
    weights = cls_weight, l1_weight, giou_weight
    cost = _Cost(priors, targets, outputs, weights, box_format)
    gt_idxs = _match(priors, targets, cost, lambda number: min(topk, len(priors) // number))
    assignment = Assignment(gt_idxs, iou_of_assigned(outputs, targets, gt_idxs))
    return grade(assignment, targets, outputs, alpha, beta)


class _Cost:
    """The (g, R) costs, in float64, of the objects in a slice."""

    def __init__(
        self,
        priors: Priors,
        targets: Targets,
        outputs: Outputs,
        weights: tuple[float, float, float],
        box_format: str,
    ):
        if box_format not in _COORDINATES:
            raise ValueError(f"box_format is {box_format!r}: it must be one of {[*_COORDINATES]}")
        self.priors, self.targets = priors, targets
        self.weights = weights
        self.coordinates = _COORDINATES[box_format]
        self.boxes = outputs.require_boxes().double()
        self.gt_boxes = targets.boxes.double()
        # (B, 1, 4) width, height, width, height
        sizes = [(width, height) * 2 for height, width in targets.require_image_sizes()]
        self.scales = self.boxes.new_tensor(sizes)[:, None]
        self.is_softmax = outputs.classifier is SOFTMAX
        logits = outputs.logits.double()
        self.logits = logits.log_softmax(dim=1) if self.is_softmax else logits

    def __call__(self, chunk: slice) -> Tensor:
        images = self.targets.image_idxs[chunk]
        boxes, gt_boxes = of_image(self.boxes, self.priors, images), self.gt_boxes[chunk, None]
        scales = self.scales[images]
        pairs = zip(
            self.coordinates(boxes / scales), self.coordinates(gt_boxes / scales), strict=True
        )
        l1_cost = sum((own - gt).abs() for own, gt in pairs)
        cls_weight, l1_weight, giou_weight = self.weights
        costs = cls_weight * self._cls_cost(chunk) + l1_weight * l1_cost
        costs = costs - giou_weight * box_giou(boxes, gt_boxes)
        return costs.nan_to_num(HIGHEST_COST, HIGHEST_COST, -HIGHEST_COST)

    def _cls_cost(self, chunk: slice) -> Tensor:
        logits = logits_of_class(self.logits, self.priors, self.targets, chunk)
        if self.is_softmax:
            return -logits.exp()
        score = logits.sigmoid()
        presence = ALPHA * (1 - score) ** GAMMA * -(score + EPS).log()
        absence = (1 - ALPHA) * score**GAMMA * -(1 - score + EPS).log()
        return presence - absence


def _centers_and_sizes(boxes: Tensor) -> tuple[Tensor, ...]:
    x1, y1, x2, y2 = boxes.unbind(dim=-1)
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1


def _corners(boxes: Tensor) -> tuple[Tensor, ...]:
    return boxes.unbind(dim=-1)


_COORDINATES = {"cxcywh": _centers_and_sizes, "xyxy": _corners}


def _match(
    priors: Priors,
    targets: Targets,
    cost: Callable[[slice], Tensor],
    copies_of: Callable[[int], int],
) -> Tensor:
    """(M,) int64, the object of each row or -1.

    Args:
        priors: priors of each image.
        targets: the objects.
        cost: function of a slice of objects that returns (g, R) costs.
        copies_of: function of the number of objects of an image, > 0, that returns the largest
            number of rows of each.
    """
    # Imported here, as it takes longer than all other imports of the package but torch.
    from scipy.optimize import linear_sum_assignment

    num_images, num_priors = targets.num_images, len(priors)
    gt_idxs = targets.classes.new_full((num_images, num_priors), -1)
    start = 0
    for image, number in enumerate(targets.counts):
        copies = copies_of(number) if number and num_priors else 0
        if copies:
            costs, columns = _costs_of_image(priors, cost, slice(start, start + number), copies)
            rows, places = linear_sum_assignment(np.repeat(costs, copies, axis=0))
            objects = torch.from_numpy(start + rows // copies).to(gt_idxs.device)
            gt_idxs[image, columns[torch.from_numpy(places).to(columns.device)]] = objects
        start += number
    return gt_idxs.flatten()


def _costs_of_image(
    priors: Priors, cost: Callable[[slice], Tensor], objects: slice, copies: int
) -> tuple[NDArray[np.float64], Tensor]:
    """Costs of the objects of an image at the priors, (C,) int64, that may be in a matching."""
    parts, is_useful = [], torch.zeros(len(priors), dtype=torch.bool, device=priors.boxes.device)
    # All other copies take most - 1 priors at most, so that one of the cheapest ``most`` is free.
    most = min(copies * (objects.stop - objects.start), len(priors))
    for chunk in chunks_between(objects.start, objects.stop, priors):
        parts.append(cost(chunk))
        is_useful |= choose_lowest(parts[-1], most).any(dim=0)
    columns = is_useful.nonzero().squeeze(1)
    return torch.cat([part[:, columns].cpu() for part in parts]).numpy(), columns
