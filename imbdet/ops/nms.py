"""Non-maximum suppression (NMS): the boxes that it keeps, and the cluster of each kept box."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import nms

from imbdet.ops.box_matrices import box_area, by_columns, intersection, max_pairs
from imbdet.ops.image_rows import consecutive_rows, image_after_image, images_together
from imbdet.ops.precision import at_least_float32

# Rounds between two checks whether all boxes are settled, for which the program waits.
NUM_ROUNDS = 4


def nms_clusters(
    boxes: Tensor, scores: Tensor, iou_thresh: float, num_per_image: Sequence[int] | None = None
) -> Tensor:
    """Assign each box to the one that greedy NMS keeps in its place.

    Boxes are visited by descending score, equal scores in the order of the rows. A box that
    overlaps with kept ones joins the first of them; any other is kept.

    Args:
        boxes: (R, 4) XYXY in pixels.
        scores: (R,) scores.
        iou_thresh: boxes of this IoU or more overlap. (Often NMS suppresses only above it.)
        num_per_image: number of boxes of each image, one after the other; boxes of two images never
            overlap. None is one image. Small images are compared in the same operations.

    Returns:
        (R,) int64, the row of the kept box that each box belongs to; a kept box belongs to itself.
    """
    numbers = [len(boxes)] if num_per_image is None else num_per_image
    order = image_after_image(scores.argsort(descending=True, stable=True), numbers)
    boxes, most = at_least_float32(boxes)[order], max_pairs(boxes.device)

    def are_small(start: int, stop: int) -> bool:
        return (stop - start) * max(numbers[start:stop]) ** 2 <= most

    heads, end = [], 0
    for start, stop in images_together(len(numbers), are_small):
        counts = numbers[start:stop]
        first, end = end, end + sum(counts)
        heads.append(_heads(order[first:end], boxes[first:end], counts, iou_thresh))
    return torch.empty_like(order).scatter_(0, order, torch.cat(heads))


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


def _heads(rows: Tensor, boxes: Tensor, counts: Sequence[int], iou_thresh: float) -> Tensor:
    """(R,) int64, the row of the kept box that each box of some images belongs to.

    Args:
        rows: (R,) int64 rows of the boxes.
        boxes: (R, 4) boxes, the best of each image first.
        counts: number of boxes of each image.
        iou_thresh: see :func:`nms_clusters`.
    """
    shape = len(counts), max(*counts, 1)
    slots = None
    if len(rows) < shape[0] * shape[1]:
        # Images are padded to as many boxes; the padding comes last, where it changes nothing.
        slots = consecutive_rows(range(0, shape[0] * shape[1], shape[1]), counts, rows.device)
        boxes = boxes.new_zeros(shape[0] * shape[1], 4).index_copy_(0, slots, boxes)
        rows = rows.new_zeros(shape[0] * shape[1]).index_copy_(0, slots, rows)
    overlaps = _overlaps_before(boxes.view(*shape, 4), iou_thresh)
    # The first of the kept boxes that a box overlaps with; itself if there are none.
    is_member, heads = (overlaps & _kept(overlaps)[:, None]).max(dim=2)
    places = torch.where(is_member, heads, torch.arange(shape[1], device=rows.device))
    found = rows.view(shape).gather(1, places).flatten()
    return found if slots is None else found[slots]


def _overlaps_before(boxes: Tensor, iou_thresh: float) -> Tensor:
    """(B, R, R) bool, whether box i of an image, (B, R, 4), overlaps with an earlier one, j."""
    num_images, num_boxes, _ = boxes.shape
    overlaps = boxes.new_zeros(num_images, num_boxes, num_boxes, dtype=torch.bool)
    boxes, areas = by_columns(boxes), box_area(boxes)
    step = max(max_pairs(boxes.device) // (num_images * num_boxes), 1)
    for start in range(0, num_boxes, step):
        end = start + step
        shared = intersection(boxes[:, start:end, None], boxes[:, None, :end])
        # As in torchvision's NMS, two boxes without an area have an IoU of NaN, so no overlap.
        union = (areas[:, start:end, None] + areas[:, None, :end]).sub_(shared)
        overlaps[:, start:end, :end] = shared.div_(union) >= iou_thresh
    return overlaps.tril_(diagonal=-1)


def _kept(overlaps: Tensor) -> Tensor:
    """(B, R) bool, the boxes that overlap, (B, R, R), with no kept box before them.

    Applying this definition to all boxes at once, again and again, settles at least one more box
    of each image each time, from first to last, and ends at its only fixed point: usually after a
    few rounds, at most after R.
    """
    # As 1 and 0, since a matrix product is faster than box by box: 1 - (number of the kept boxes
    # before that a box overlaps with), at least 0.
    matrix = overlaps.float()
    kept = ones = matrix.new_ones(*overlaps.shape[:2], 1)
    while True:
        for _ in range(NUM_ROUNDS):
            before, kept = kept, torch.baddbmm(ones, matrix, kept, alpha=-1).clamp_(min=0)
        if torch.equal(before, kept):
            return kept.squeeze(2).bool()
