"""FCOS: the points near the centre of an object, on the level for objects of its size.

Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection", ICCV 2019,
https://arxiv.org/abs/1904.01355, section 3; centre sampling is from the journal version.
"""

import torch
from torch import Tensor

from imbdet.assigners.pairs import BestObject, border_distance, box_iou, center_offset, chunks
from imbdet.methods import ASSIGNERS
from imbdet.methods.options import Positive
from imbdet.ops.box_matrices import box_area
from imbdet.structures import Assignment, Priors, Targets

# Larger objects are never matched, in pixels^2.
MAX_AREA = 1e8


@ASSIGNERS.register(
    "fcos",
    "The points near the centre of an object, on the level for objects of its size.",
    "Tian et al., ICCV 2019, https://arxiv.org/abs/1904.01355",
    uses=("levels", "strides"),
    inside=True,
)
@torch.no_grad()
def fcos(priors: Priors, targets: Targets, *, center_sampling_radius: Positive = 1.5) -> Assignment:
    """A point belongs to the smallest object whose centre is near and whose size fits its level.

    A size fits if the largest distance to a side of the object is above 4 and below 8 strides; the
    first level has no lower bound and the last no upper one. Among objects of the same area the
    first wins. As published, areas are compared in steps of 8 pixels^2, the resolution of
    10^8 - area in single precision.

    Args:
        priors: points with strides, level by level.
        targets: the objects.
        center_sampling_radius: half the side of the square around an object's centre in which
            points are positive, in strides.

    Returns:
        ``ious`` are those of the priors' boxes.
    """
    strides = priors.require_strides()
    lowest, highest = _size_ranges(priors, strides)
    best = BestObject(priors, targets, torch.float32)
    for chunk in chunks(priors, targets):
        gt_boxes = targets.boxes[chunk]
        is_central = center_offset(priors, gt_boxes) < center_sampling_radius * strides
        is_inside = border_distance(priors.points, gt_boxes[:, None]) > 0
        sizes = _farthest_side(priors.points, gt_boxes[:, None])
        fits = (sizes > lowest) & (sizes < highest)
        areas = box_area(gt_boxes).float()
        smallness = torch.where(areas < MAX_AREA, MAX_AREA - areas, -torch.inf)
        is_wanted = is_central & is_inside & fits
        best.update(torch.where(is_wanted, smallness[:, None], -torch.inf), chunk)
    ious = torch.zeros_like(best.values, dtype=targets.boxes.dtype)
    rows = (best.gt_idxs >= 0).nonzero().squeeze(1)
    boxes = priors.boxes_at(rows).to(ious.dtype)
    ious[rows] = box_iou(boxes, targets.boxes[best.gt_idxs[rows]])
    return Assignment(best.gt_idxs, ious)


def _size_ranges(priors: Priors, strides: Tensor) -> tuple[Tensor, Tensor]:
    """(R,) lowest and highest size of an object for each point, exclusive, in pixels."""
    lowest, highest = 4 * strides, 8 * strides
    lowest[: priors.sizes_of_levels()[0]] = 0
    highest[len(priors) - priors.sizes_of_levels()[-1] :] = torch.inf
    return lowest, highest


def _farthest_side(points: Tensor, gt_boxes: Tensor) -> Tensor:
    """Largest of the distances from points to the sides of an object (eq. 1), in pixels."""
    x, y = points.unbind(dim=-1)
    x1, y1, x2, y2 = gt_boxes.unbind(dim=-1)
    horizontal = torch.maximum(x - x1, x2 - x)
    return torch.maximum(horizontal, torch.maximum(y - y1, y2 - y))
