"""First room: which ground truth, if any, an anchor or proposal belongs to."""

from collections.abc import Callable, Sequence

import torch
from detectron2.structures import Boxes, pairwise_iou
from detectron2.utils.memory import retry_if_cuda_oom
from torch import Tensor

from imbdet.structures import Candidates


@torch.no_grad()
def assign(
    matcher: Callable[[Tensor], tuple[Tensor, Tensor]],
    boxes: Sequence[Boxes],
    gt_boxes: Sequence[Boxes],
    gt_classes: Sequence[Tensor],
    num_classes: int,
) -> Candidates:
    """Match the boxes of each image with its ground truth, and keep the IoU of the match.

    Args:
        matcher: detectron2's ``Matcher``: (G_i, R_i) IoUs to matched indices and labels.
        boxes: anchors or proposals of each image.
        gt_boxes: ground truth of each image, possibly none.
        gt_classes: (G_i,) classes of the ground truth, in [0, K).
        num_classes: K.
    """
    columns, num_gt = [], 0
    for boxes_i, gt_boxes_i, gt_classes_i in zip(boxes, gt_boxes, gt_classes, strict=True):
        gt_labels, gt_idxs, ious = _assign_image(
            matcher, boxes_i, gt_boxes_i, gt_classes_i, num_classes
        )
        columns.append((gt_labels, torch.where(gt_idxs < 0, gt_idxs, gt_idxs + num_gt), ious))
        num_gt += len(gt_boxes_i)
    gt_labels, gt_idxs, ious = (torch.cat(column) for column in zip(*columns, strict=True))
    return Candidates(gt_labels, gt_idxs, ious, [len(b) for b in boxes], num_classes)


def _assign_image(
    matcher: Callable[[Tensor], tuple[Tensor, Tensor]],
    boxes: Boxes,
    gt_boxes: Boxes,
    gt_classes: Tensor,
    num_classes: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Labels, indices of the positives' ground truth within the image, and IoUs, each (R_i,)."""
    # Out of GPU memory, the matrix of all pairs moves to the CPU; only vectors come back.
    quality = retry_if_cuda_oom(pairwise_iou)(gt_boxes, boxes)
    matched_idxs, match_labels = retry_if_cuda_oom(matcher)(quality)
    match_labels = match_labels.to(boxes.device)
    gt_labels = torch.where(match_labels == 0, num_classes, -1)
    if len(gt_boxes) == 0:
        return gt_labels, torch.full_like(gt_labels, -1), boxes.tensor.new_zeros(len(boxes))
    ious = quality.gather(0, matched_idxs.to(quality.device)[None])[0].to(boxes.device)
    matched_idxs, is_positive = matched_idxs.to(boxes.device), match_labels == 1
    gt_labels = torch.where(is_positive, gt_classes[matched_idxs], gt_labels)
    return gt_labels, matched_idxs.masked_fill(~is_positive, -1), ious
