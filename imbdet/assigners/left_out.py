"""Rows that the data exclude from training, whatever the assigner decided.

Shape shorthand: see :mod:`imbdet.structures`.
"""

from dataclasses import replace

import torch
from torch import Tensor

from imbdet.assigners.pairs import any_object
from imbdet.ops.box_matrices import box_area, by_columns, intersection
from imbdet.ops.image_rows import image_of_rows
from imbdet.structures import Assignment, Priors, Regions, Targets


def ignore_without_weight(assignment: Assignment, priors: Priors, targets: Targets) -> Assignment:
    """Ignore positives of objects of weight 0, and all rows of images of weight 0."""
    gt_idxs = assignment.gt_idxs
    if targets.weights is not None:
        # The indices -1 and -2 are those of the two entries at the end.
        is_out = torch.cat([targets.weights == 0, gt_idxs.new_zeros(2, dtype=torch.bool)])
        gt_idxs = gt_idxs.masked_fill(is_out[gt_idxs], -2)
    if targets.image_weights is not None:
        images = image_of_rows(priors.counts(targets.num_images), gt_idxs.device)
        gt_idxs = gt_idxs.masked_fill((targets.image_weights == 0)[images], -2)
    return replace(assignment, gt_idxs=gt_idxs)


def background_in_regions(assignment: Assignment, priors: Priors, regions: Regions) -> Tensor:
    """(M,) bool, background rows with at least ``min_overlap`` of their area in one region."""
    is_background = assignment.gt_idxs == -1
    if priors.num_per_image is None:
        return is_background & _is_inside(priors, regions)
    images = zip(priors.by_image(len(regions.num_per_image)), regions.by_image(), strict=True)
    return is_background & torch.cat([_is_inside(own, of_image) for own, of_image in images])


def _is_inside(priors: Priors, regions: Regions) -> Tensor:
    """(M,) bool, whether each prior is in a region; one without an area is in none."""
    boxes = by_columns(priors.boxes)
    areas = box_area(boxes)
    objects = Targets(regions.boxes, regions.boxes[:, 0].long(), regions.num_per_image)

    def is_inside(chunk: slice) -> Tensor:
        shared = intersection(boxes, regions.boxes[chunk, None])
        return (shared >= regions.min_overlap * areas) & (areas > 0)

    return any_object(priors, objects, is_inside)
