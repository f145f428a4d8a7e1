"""Groups of overlapping boxes, as non-maximum suppression (NMS) forms them."""

import torch
from torch import Tensor
from torchvision.ops import box_iou

from imbdet.ops.precision import at_least_float32

# Rows of the IoU matrix computed at a time: bounds the memory for its intermediate results.
CHUNK_SIZE = 256


def nms_clusters(boxes: Tensor, scores: Tensor, iou_thresh: float) -> Tensor:
    """Assign each box to the one that greedy NMS keeps in its place.

    Boxes are visited by descending score, equal scores in the order of the rows. A box that
    overlaps with kept ones joins the first of them; any other is kept.

    Args:
        boxes: (R, 4) XYXY in pixels.
        scores: (R,) scores.
        iou_thresh: boxes of this IoU or more overlap. (NMS often asks for more than the threshold.)

    Returns:
        (R,) int64, the row of the kept box that each box belongs to; a kept box belongs to itself.
    """
    order = scores.argsort(descending=True, stable=True)
    overlaps = _overlaps_before(at_least_float32(boxes)[order], iou_thresh)
    members, kept = (overlaps & _kept(overlaps)).nonzero(as_tuple=True)
    # Of the kept boxes that a box overlaps with, the first; its own place if there are none.
    places = torch.arange(len(order), device=order.device)
    heads = places.scatter_reduce(0, members, kept, reduce="amin")
    return torch.empty_like(order).scatter_(0, order, order[heads])


def _overlaps_before(boxes: Tensor, iou_thresh: float) -> Tensor:
    """(R, R) bool, whether box i overlaps with an earlier box j."""
    overlaps = torch.zeros(len(boxes), len(boxes), dtype=torch.bool, device=boxes.device)
    for start in range(0, len(boxes), CHUNK_SIZE):
        end = start + CHUNK_SIZE
        overlaps[start:end, :end] = box_iou(boxes[start:end], boxes[:end]) >= iou_thresh
    return overlaps.tril(diagonal=-1)


def _kept(overlaps: Tensor) -> Tensor:
    """(R,) bool, the boxes that overlap with no kept box before them.

    Repeating this sentence for all boxes at once settles at least one more box each time, first to
    last, and ends at its only fixed point; usually after a few rounds, not R.
    """
    is_kept = torch.ones(len(overlaps), dtype=torch.bool, device=overlaps.device)
    while True:
        updated = ~(overlaps & is_kept).any(dim=1)
        if torch.equal(updated, is_kept):
            return is_kept
        is_kept = updated
