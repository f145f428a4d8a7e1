"""The protocol of assigners, and the assignment of a batch by one."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from imbdet.assigners.left_out import background_in_regions, ignore_without_weight
from imbdet.assigners.pairs import box_iou, chunks
from imbdet.ops.box_matrices import by_columns
from imbdet.structures import Assignment, Candidates, Outputs, Priors, Targets, needs_of

T = TypeVar("T", bound=Callable[..., Any])


class Assigner(Protocol):
    """Decides to which object each prior belongs.

    The functions of this package are assigners. One that uses outputs declares it by an attribute
    ``needs`` and takes them as a third argument; see :func:`imbdet.structures.needs_of`. One with
    an attribute ``takes_batches`` that is True gets the proposals of all images at once.
    """

    def __call__(self, priors: Priors, targets: Targets) -> Assignment:
        """Assign the rows of a batch whose images share the priors, or of one image."""
        ...


def looks_at_outputs(assigner: T) -> T:
    """Declare that the decorated assigner takes outputs as a third argument."""
    assigner.needs = frozenset({"outputs"})  # type: ignore[attr-defined]
    return assigner


@torch.no_grad()
def assign(
    assigner: Assigner,
    priors: Priors,
    targets: Targets,
    outputs: Outputs | None,
    num_classes: int,
) -> Candidates:
    """Assign all rows of a batch.

    Rows that have no weight, and background in ignored regions, are ignored.

    Args:
        assigner: assigner of the batch.
        priors: priors of the batch.
        targets: objects of the batch.
        outputs: outputs of the head for all rows, for an assigner that needs them.
        num_classes: K.
    """
    if priors.num_per_image is None or getattr(assigner, "takes_batches", False):
        assignment = _assign(assigner, priors, targets, outputs)
    else:
        assignment = assign_images(assigner, priors, targets, outputs)
    assignment = ignore_without_weight(assignment, priors, targets)
    is_in_region = None
    if targets.regions is not None:
        is_in_region = background_in_regions(assignment, priors, targets.regions)
        gt_idxs = assignment.gt_idxs.masked_fill(is_in_region, -2)
        assignment = replace(assignment, gt_idxs=gt_idxs)
    return Candidates(
        gt_labels=assignment.labels(targets.classes, num_classes),
        gt_idxs=assignment.gt_idxs.clamp(min=-1),
        ious=_max_ious(priors, targets) if assignment.max_ious is None else assignment.max_ious,
        num_per_image=priors.counts(targets.num_images),
        num_classes=num_classes,
        priors=priors,
        targets=targets,
        quality=assignment.quality,
        is_in_region=is_in_region,
    )


def assign_images(
    assigner: Assigner, priors: Priors, targets: Targets, outputs: Outputs | None = None
) -> Assignment:
    """Assign a batch, one image after the other."""
    assignments, start = [], 0
    for own, objects in zip(priors.by_image(targets.num_images), targets.by_image(), strict=True):
        rows = slice(start, start + len(own))
        seen = None if outputs is None else outputs.take(rows)
        assignments.append(_assign(assigner, own, objects, seen))
        start = rows.stop
    return join_images(assignments, targets)


def join_images(assignments: Sequence[Assignment], targets: Targets) -> Assignment:
    """Join the assignments of the images of a batch, in each of which objects count from 0."""
    gt_idxs, num_objects = [], 0
    for assignment, objects in zip(assignments, targets.by_image(), strict=True):
        own = assignment.gt_idxs
        gt_idxs.append(torch.where(own < 0, own, own + num_objects))
        num_objects += len(objects)
    return Assignment(
        torch.cat(gt_idxs),
        torch.cat([assignment.ious for assignment in assignments]),
        _join([assignment.quality for assignment in assignments]),
        _join([assignment.max_ious for assignment in assignments]),
    )


def _join(columns: Sequence[Tensor | None]) -> Tensor | None:
    """The columns of all images in one; None if the column of any image is None."""
    known = [column for column in columns if column is not None]
    return torch.cat(known) if len(known) == len(columns) else None


def _max_ious(priors: Priors, targets: Targets) -> Tensor:
    """(M,) highest IoU of each prior with any object of its image; 0 if there is none."""
    if priors.num_per_image is not None:
        images = zip(priors.by_image(targets.num_images), targets.by_image(), strict=True)
        return torch.cat([_max_ious(own, objects) for own, objects in images])
    highest = priors.boxes.new_zeros(targets.num_images, len(priors))
    boxes = by_columns(priors.boxes)
    for chunk in chunks(priors, targets):
        ious = box_iou(boxes, targets.boxes[chunk, None])  # (g, R)
        rows = targets.image_idxs[chunk, None].expand_as(ious)
        highest.scatter_reduce_(0, rows, ious.to(highest.dtype), "amax")
    return highest.flatten()


def _assign(
    assigner: Assigner, priors: Priors, targets: Targets, outputs: Outputs | None
) -> Assignment:
    if "outputs" not in needs_of(assigner):
        return assigner(priors, targets)
    if outputs is None:
        raise ValueError("the assigner looks at outputs, which are not known")
    if outputs.boxes is None and outputs.deltas is not None:
        rows = torch.arange(len(outputs), device=outputs.logits.device)
        boxes = outputs.require_transform().apply_deltas(outputs.deltas, priors.boxes_at(rows))
        outputs = replace(outputs, boxes=boxes)
    return assigner(priors, targets, outputs)  # type: ignore[call-arg]
