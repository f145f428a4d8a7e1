"""Proposals of the images of a batch: as priors of a learner, and those that it chose."""

from collections.abc import Callable

import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor

from imbdet.learning import Learner
from imbdet.modeling.ground_truth import targets_of
from imbdet.structures import Candidates, Outputs, Priors


def priors_of(proposals: list[Instances]) -> Priors:
    """The proposals of all images."""
    boxes = Boxes.cat([p.proposal_boxes for p in proposals]).tensor
    return Priors(boxes, num_per_image=[len(p) for p in proposals])


@torch.no_grad()
def choose_proposals(
    learner: Learner,
    proposals: list[Instances],
    targets: list[Instances],
    look: Callable[[], Outputs],
    prefix: str = "",
) -> tuple[Candidates, list[Instances]]:
    """Assign and sample.

    Args:
        learner: learner of the box branch.
        proposals: proposals of each image, with "proposal_boxes".
        targets: ground truth of each image, with "gt_boxes" and "gt_classes".
        look: function that returns outputs of the box branch for the proposals, called if a part
            needs them.
        prefix: prefix of the names of the scalars that detectron2 logs here.

    Returns:
        The chosen proposals as candidates, and as proposals of each image, with "gt_classes" in
        [0, K].
    """
    chosen = learner.choose(priors_of(proposals), targets_of(targets), look)
    storage, num_images = get_event_storage(), len(chosen.num_per_image)
    storage.put_scalar(f"{prefix}roi_head/num_fg_samples", len(chosen.pos_idxs) / num_images)
    storage.put_scalar(f"{prefix}roi_head/num_bg_samples", len(chosen.neg_idxs) / num_images)
    return chosen, _take(proposals, chosen)


def attach_targets(
    proposals: list[Instances], targets: list[Instances], chosen: Candidates
) -> None:
    """Set all "gt_*" fields of the targets, for other heads, in images that have any object.

    Negatives get the fields of some object of their image.

    Args:
        proposals: second result of :func:`choose_proposals`.
        targets: ground truth of each image.
        chosen: first result of :func:`choose_proposals`.
    """
    first_gt = 0
    for own, objects, gt_idxs in zip(
        proposals, targets, chosen.gt_idxs.split(list(chosen.num_per_image)), strict=True
    ):
        rows = (gt_idxs - first_gt).clamp(min=0)
        first_gt += len(objects)
        if len(objects) == 0:
            continue
        for name, values in objects.get_fields().items():
            if name.startswith("gt_") and not own.has(name):
                own.set(name, values[rows])


def _take(proposals: list[Instances], chosen: Candidates) -> list[Instances]:
    """Split the choice by image and attach labels."""
    rows = chosen.rows
    if isinstance(rows, slice):
        rows = torch.arange(len(chosen), device=chosen.gt_labels.device)
    parts: list[tuple[Tensor, ...]] = [
        column.split(list(chosen.num_per_image)) for column in (rows, chosen.gt_labels)
    ]
    taken, first_row = [], 0
    for own, rows_i, labels in zip(proposals, *parts, strict=True):
        of_image = own[rows_i - first_row]
        of_image.gt_classes = labels
        taken.append(of_image)
        first_row += len(own)
    return taken
