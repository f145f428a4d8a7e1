"""What non-maximum suppression (NMS) makes of boxes: the kept ones, and those of each kept one."""

import torch
from torch import Tensor
from torchvision.ops import box_iou, nms

from imbdet.ops.precision import at_least_float32

# Rows of the IoU matrix computed at a time on a CPU, in whose cache its intermediate results stay;
# and pairs elsewhere, 32 MB each, where few operations count.
CHUNK_SIZE = 256
MAX_PAIRS = 1 << 23
# Rounds between two looks at whether any box is left to settle, for which the program waits.
NUM_ROUNDS = 4


def nms_clusters(boxes: Tensor, scores: Tensor, iou_thresh: float) -> Tensor:
    """Assign each box to the one that greedy NMS keeps in its place.

    Boxes are visited by descending score, equal scores in the order of the rows. A box that
    overlaps with kept ones joins the first of them; any other is kept.

    Args:
        boxes: (R, 4) XYXY in pixels.
        scores: (R,) scores.
        iou_thresh: boxes of this IoU or more overlap. (Often NMS suppresses only above it.)

    Returns:
        (R,) int64, the row of the kept box that each box belongs to; a kept box belongs to itself.
    """
    order = scores.argsort(descending=True, stable=True)
    overlaps = _overlaps_before(at_least_float32(boxes)[order], iou_thresh)
    members, kept = (overlaps & _kept(overlaps)).nonzero(as_tuple=True)
    # The first of the kept boxes that a box overlaps with; itself if there are none.
    places = torch.arange(len(order), device=order.device)
    heads = places.scatter_reduce(0, members, kept, reduce="amin")
    return torch.empty_like(order).scatter_(0, order, order[heads])


def suppressed_last(boxes: Tensor, iou_thresh: float) -> Tensor:
    """Move the boxes that greedy NMS suppresses behind those that it keeps.

    Args:
        boxes: (R, 4) XYXY in pixels, best first.
        iou_thresh: a box that overlaps more than this with a kept one before it is suppressed.

    Returns:
        (R,) int64, rows of the boxes in the new order.
    """
    boxes = at_least_float32(boxes)
    # Places instead of scores: they are finite and have no ties.
    places = torch.arange(len(boxes), device=boxes.device)
    kept = nms(boxes, -places.to(boxes.dtype), iou_thresh)
    is_suppressed = torch.ones_like(places, dtype=torch.bool)
    is_suppressed[kept] = False
    return torch.cat([kept, places[is_suppressed]])


def _overlaps_before(boxes: Tensor, iou_thresh: float) -> Tensor:
    """(R, R) bool, whether box i overlaps with an earlier box j."""
    overlaps = torch.zeros(len(boxes), len(boxes), dtype=torch.bool, device=boxes.device)
    is_on_cpu = boxes.device.type == "cpu"
    size = CHUNK_SIZE if is_on_cpu else max(MAX_PAIRS // max(len(boxes), 1), 1)
    for start in range(0, len(boxes), size):
        end = start + size
        overlaps[start:end, :end] = box_iou(boxes[start:end], boxes[:end]) >= iou_thresh
    return overlaps.tril(diagonal=-1)


def _kept(overlaps: Tensor) -> Tensor:
    """(R,) bool, the boxes that overlap with no kept box before them.

    Applying this definition to all boxes at once, again and again, settles at least one more box
    each time, from first to last, and ends at its only fixed point: usually after a few rounds, at
    most after R.
    """
    # As 1 and 0, since a product with a vector is faster than one by one: 1 - (number of the kept
    # boxes before that a box overlaps with), at least 0.
    matrix, ones = overlaps.float(), torch.ones(len(overlaps), device=overlaps.device)
    kept = ones
    while True:
        for _ in range(NUM_ROUNDS):
            before, kept = kept, torch.addmv(ones, matrix, kept, alpha=-1).clamp_(min=0)
        if torch.equal(before, kept):
            return kept.bool()
