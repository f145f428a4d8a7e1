"""Fixed IoU thresholds, the rule of Faster R-CNN and RetinaNet.

Ren et al., "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks",
NeurIPS 2015, https://arxiv.org/abs/1506.01497, section 3.1.2
"""

import torch
from torch import Tensor

from imbdet.assigners.pairs import BestObject, box_iou, chunks
from imbdet.methods import ASSIGNERS
from imbdet.methods.options import Share
from imbdet.ops.box_matrices import by_columns
from imbdet.structures import Assignment, Priors, Targets


@ASSIGNERS.register(
    "max_iou",
    "The object of the highest IoU, with fixed thresholds: detectron2's matcher, in less memory.",
    "Ren et al., NeurIPS 2015, https://arxiv.org/abs/1506.01497",
    places=("dense heads", "RoI heads"),
    given=("negative_below", "positive_from", "allow_low_quality_matches"),
)
@torch.no_grad()
def max_iou(
    priors: Priors,
    targets: Targets,
    *,
    negative_below: Share = 0.4,
    positive_from: Share = 0.5,
    allow_low_quality_matches: bool = True,
) -> Assignment:
    """A prior belongs to the object with the highest IoU, among equal ones to the first.

    Args:
        priors: anchors or proposals.
        targets: the objects.
        negative_below: IoU below which a prior is background.
        positive_from: IoU from which it is positive, >= ``negative_below``; between the two it is
            ignored.
        allow_low_quality_matches: whether the priors that overlap an object most are positive, at
            any IoU. As in detectron2, they belong to the object that overlaps *them* most, and an
            object that no prior touches makes all priors of its image positive.

    Returns:
        ``ious`` are the highest IoUs of all priors with any object.
    """
    best, best_of = highest_ious(priors, targets)
    ious = best.values.clamp(min=0)  # minus infinity in an image without objects
    is_positive = ious >= positive_from
    if allow_low_quality_matches:
        is_positive |= best_of >= 0
    others = torch.where(ious < negative_below, -1, -2)
    return Assignment(torch.where(is_positive, best.gt_idxs, others), ious, max_ious=ious)


def highest_ious(
    priors: Priors, targets: Targets, *, above: float = -1.0
) -> tuple[BestObject, Tensor]:
    """The object of the highest IoU for each prior, and the priors of the highest for each object.

    Args:
        priors: anchors or proposals.
        targets: the objects.
        above: IoU that the best priors of an object exceed; below 0 is any.

    Returns:
        The objects; and (M,) int64, the last object whose highest IoU the row has, or -1.
    """
    best = BestObject(priors, targets)
    best_of = torch.full_like(best.gt_idxs, -1)
    boxes = by_columns(priors.boxes)
    for chunk in chunks(priors, targets):
        ious = box_iou(boxes, targets.boxes[chunk, None])  # (g, R)
        best.update(ious, chunk)
        is_highest = (ious == ious.amax(dim=1, keepdim=True)) & (ious > above)
        objects = torch.arange(chunk.start, chunk.stop, device=ious.device)
        by_image = best_of.unflatten(0, (-1, len(priors)))
        own = torch.where(is_highest, objects[:, None], -1)
        rows = targets.image_idxs[chunk, None].expand_as(own)
        by_image.scatter_reduce_(0, rows, own, "amax")
    return best, best_of
