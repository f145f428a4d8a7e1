"""Centres of boxes and overlap of pairs of them, (P, 4) each.

Boxes are XYXY in pixels with x2 >= x1 and y2 >= y1.
"""

import torch
from torch import Tensor

from imbdet.ops.box_matrices import box_area
from imbdet.ops.paired import paired

# Added to denominators, it keeps quotients finite where neither box has an area. This is the value
# of fvcore, whose losses of overlap ours equal. Matrices of pairs follow other published code:
# assigners raise small unions (``assigners/pairs.py``), NMS and Detectron2's matcher do not.
EPS = 1e-7


def paired_iou(boxes: Tensor, gt_boxes: Tensor) -> Tensor:
    """(P,) intersection over union of each pair, in [0, 1]; 0 if neither box has an area."""
    return overlap(*paired(boxes, gt_boxes))[0]


def overlap(boxes: Tensor, gt_boxes: Tensor) -> tuple[Tensor, Tensor]:
    """(P,) IoU, in [0, 1], and (P,) area of the union of each pair."""
    top_left = torch.maximum(boxes[:, :2], gt_boxes[:, :2])
    bottom_right = torch.minimum(boxes[:, 2:], gt_boxes[:, 2:])
    intersection = area(top_left, torch.maximum(top_left, bottom_right))
    union = box_area(boxes) + box_area(gt_boxes) - intersection
    return intersection / (union + EPS), union


def hull(boxes: Tensor, gt_boxes: Tensor) -> tuple[Tensor, Tensor]:
    """(P, 2) top left and (P, 2) bottom right corners of the smallest box that encloses a pair."""
    top_left = torch.minimum(boxes[:, :2], gt_boxes[:, :2])
    return top_left, torch.maximum(boxes[:, 2:], gt_boxes[:, 2:])


def centers(boxes: Tensor) -> Tensor:
    """(R, 2) centres xy of boxes, (R, 4)."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def area(top_left: Tensor, bottom_right: Tensor) -> Tensor:
    """(P,) areas of the boxes between two corners, (P, 2) each."""
    width, height = (bottom_right - top_left).unbind(dim=1)
    return width * height
