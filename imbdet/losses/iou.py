"""Losses made of the overlap of a predicted box with its ground truth.

GIoU: Rezatofighi et al., CVPR 2019, https://arxiv.org/abs/1902.09630
DIoU and CIoU: Zheng et al., AAAI 2020, https://arxiv.org/abs/1911.08287

Boxes are (P, 4), XYXY in pixels with x2 >= x1 and y2 >= y1.
"""

import math

import torch
from torch import Tensor

from imbdet.losses.reduction import reduce_losses
from imbdet.methods import BOX_LOSSES
from imbdet.ops.boxes import EPS, area, hull, overlap, paired_iou
from imbdet.ops.paired import paired


@BOX_LOSSES.register(
    "giou",
    "1 - GIoU of the decoded boxes.",
    "Rezatofighi et al., CVPR 2019, https://arxiv.org/abs/1902.09630",
    compares="boxes",
)
def giou_loss(
    pred_boxes: Tensor,
    gt_boxes: Tensor,
    *,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """1 - GIoU in [0, 2], which also counts the empty part of the enclosing box (alg. 1).

    Args:
        pred_boxes: (P, 4) decoded predictions.
        gt_boxes: (P, 4) ground truth.
        weights: (P,) factors of the samples, or None.
        reduction: "none" or "sum".

    Returns:
        (P,) losses or their sum.
    """
    pred_boxes, gt_boxes = paired(pred_boxes, gt_boxes)
    iou, union = overlap(pred_boxes, gt_boxes)
    enclosing = area(*hull(pred_boxes, gt_boxes))
    giou = iou - (enclosing - union) / (enclosing + EPS)
    return reduce_losses(1 - giou, weights, reduction)


@BOX_LOSSES.register(
    "diou",
    "DIoU loss of the decoded boxes.",
    "Zheng et al., AAAI 2020, https://arxiv.org/abs/1911.08287",
    compares="boxes",
)
def diou_loss(
    pred_boxes: Tensor,
    gt_boxes: Tensor,
    *,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """1 - IoU + squared distance of the centres over that of the hull's corners (eq. 7).

    Args and Returns: see :func:`giou_loss`.
    """
    pred_boxes, gt_boxes = paired(pred_boxes, gt_boxes)
    losses = 1 - paired_iou(pred_boxes, gt_boxes) + _centre_distance(pred_boxes, gt_boxes)
    return reduce_losses(losses, weights, reduction)


@BOX_LOSSES.register(
    "ciou",
    "CIoU loss of the decoded boxes.",
    "Zheng et al., AAAI 2020, https://arxiv.org/abs/1911.08287",
    compares="boxes",
)
def ciou_loss(
    pred_boxes: Tensor,
    gt_boxes: Tensor,
    *,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """DIoU loss plus a term for the aspect ratio, v, with a detached trade-off alpha (eq. 8-11).

    Args and Returns: see :func:`giou_loss`.
    """
    pred_boxes, gt_boxes = paired(pred_boxes, gt_boxes)
    iou = paired_iou(pred_boxes, gt_boxes)
    angle = _aspect_angle(pred_boxes) - _aspect_angle(gt_boxes)
    v = (2 / math.pi * angle).square()  # eq. 9
    alpha = (v / (1 - iou + v + EPS)).detach()  # eq. 11
    losses = 1 - iou + _centre_distance(pred_boxes, gt_boxes) + alpha * v  # eq. 10
    return reduce_losses(losses, weights, reduction)


def _centre_distance(boxes: Tensor, gt_boxes: Tensor) -> Tensor:
    """Squared distance of the centres, relative to the squared diagonal of the hull."""
    top_left, bottom_right = hull(boxes, gt_boxes)
    diagonal = (bottom_right - top_left).square().sum(dim=1)
    offset = (boxes[:, :2] + boxes[:, 2:] - gt_boxes[:, :2] - gt_boxes[:, 2:]) / 2
    return offset.square().sum(dim=1) / (diagonal + EPS)


def _aspect_angle(boxes: Tensor) -> Tensor:
    width, height = (boxes[:, 2:] - boxes[:, :2]).unbind(dim=1)
    return torch.atan(width / height.clamp(min=EPS))
