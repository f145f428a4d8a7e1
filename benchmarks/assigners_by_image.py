"""References of the assigners: the same choices as MMDetection makes them, image by image.

They are written anew: all overlaps of an image have one column for each object, candidates are
gathered column by column, and in a matrix of overlaps all but the wanted pairs are erased.
"""

import torch
from torch import Tensor

from imbdet.assigners import Outputs, Priors, Targets, join_images
from imbdet.structures import Assignment

NO_OVERLAP = -1e8


def atss_by_image(priors: Priors, targets: Targets, *, topk: int = 9) -> Assignment:
    """See :func:`imbdet.assigners.atss`."""
    parts = []
    for objects in targets.by_image():
        overlaps = overlaps_of(priors.boxes, objects.boxes)
        centers = (objects.boxes[:, :2] + objects.boxes[:, 2:]) / 2
        distances = (priors.points[:, None] - centers[None]).pow(2).sum(-1).sqrt()
        candidates, start = [], 0
        for size in priors.sizes_of_levels():
            of_level = distances[start : start + size]
            _, nearest = of_level.topk(min(topk, size), dim=0, largest=False)
            candidates.append(nearest + start)
            start += size
        idxs = torch.cat(candidates)
        values = overlaps[idxs, torch.arange(len(objects), device=idxs.device)]
        is_positive = values >= values.mean(0)[None] + values.std(0)[None]
        parts.append(_take(priors, objects, overlaps, idxs, is_positive))
    return join_images(parts, targets)


def task_aligned_by_image(
    priors: Priors, targets: Targets, outputs: Outputs, *, topk: int = 13
) -> Assignment:
    """See :func:`imbdet.assigners.task_aligned`, without its quality."""
    parts = []
    for image, objects in enumerate(targets.by_image()):
        rows = slice(image * len(priors), (image + 1) * len(priors))
        scores = outputs.logits[rows].sigmoid()[:, objects.classes]
        overlaps = overlaps_of(outputs.require_boxes()[rows], objects.boxes)
        metrics = scores**1.0 * overlaps**6.0
        values, idxs = metrics.topk(topk, dim=0, largest=True)
        parts.append(_take(priors, objects, overlaps, idxs, values > 0))
    return join_images(parts, targets)


def overlaps_of(boxes: Tensor, gt_boxes: Tensor) -> Tensor:
    """(R, G) IoU of R boxes and G objects."""
    top_left = torch.max(boxes[:, None, :2], gt_boxes[None, :, :2])
    bottom_right = torch.min(boxes[:, None, 2:], gt_boxes[None, :, 2:])
    sides = (bottom_right - top_left).clamp(min=0)
    intersection = sides[..., 0] * sides[..., 1]
    areas, gt_areas = ((b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (boxes, gt_boxes))
    union = areas[:, None] + gt_areas[None] - intersection
    return intersection / union.clamp(min=1e-6)


def _take(
    priors: Priors, objects: Targets, overlaps: Tensor, idxs: Tensor, is_positive: Tensor
) -> Assignment:
    """Assign the positive candidates, (k, G), with a point inside; the highest overlap decides."""
    num_priors, num_objects = overlaps.shape
    for gt in range(num_objects):
        idxs[:, gt] += gt * num_priors
    points = priors.points.repeat(num_objects, 1)[idxs.view(-1)].view(-1, num_objects, 2)
    sides = torch.stack(
        [
            points[..., 0] - objects.boxes[:, 0],
            points[..., 1] - objects.boxes[:, 1],
            objects.boxes[:, 2] - points[..., 0],
            objects.boxes[:, 3] - points[..., 1],
        ],
        dim=1,
    )
    is_positive = is_positive & (sides.min(dim=1)[0] > 0.01)
    wanted = torch.full_like(overlaps, NO_OVERLAP).t().contiguous().view(-1)
    chosen = idxs.view(-1)[is_positive.view(-1)]
    wanted[chosen] = overlaps.t().contiguous().view(-1)[chosen]
    values, gt_idxs = wanted.view(num_objects, -1).t().max(dim=1)
    is_assigned = values != NO_OVERLAP
    return Assignment(torch.where(is_assigned, gt_idxs, -1), values.clamp(min=0))
