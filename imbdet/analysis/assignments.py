"""The assignments of each registered assigner for the same priors, objects and predictions."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from detectron2.config import CfgNode
from torch import Tensor

from imbdet.assigners import Assigner, assign
from imbdet.errors import UserError
from imbdet.methods import ASSIGNERS
from imbdet.modeling.assigners import build_assigner_named
from imbdet.modeling.site_keys import Site
from imbdet.ops.boxes import centers, paired_iou
from imbdet.structures import Candidates


@dataclass(frozen=True)
class Assignments:
    """The assigners of a site.

    Attributes:
        assigners: assigners by name.
        refused: reasons why other assigners are left out, by name.
    """

    assigners: Mapping[str, Assigner]
    refused: Mapping[str, str]

    def apply(self, candidates: Candidates) -> dict[str, Tensor]:
        """By assigner, (M,) int64 objects of the candidates of one image, -1 for none.

        Candidates that the detector ignored because its predictions are not finite have none.
        """
        return {
            name: self._apply(assigner, candidates) for name, assigner in self.assigners.items()
        }

    def _apply(self, assigner: Assigner, candidates: Candidates) -> Tensor:
        found = assign(
            assigner,
            candidates.priors,
            candidates.targets,
            candidates.require_outputs(),
            candidates.num_classes,
        )
        is_finite = candidates.require_outputs().logits.isfinite().all(dim=1)
        return torch.where(is_finite, found.gt_idxs, -1)


def build_assignments(cfg: CfgNode, site: Site) -> Assignments:
    """All registered assigners that can be used at a site, with the options of the config."""
    assigners, refused = {}, {}
    for name, _ in ASSIGNERS:
        try:
            assigners[name] = build_assigner_named(cfg, site, name)
        except UserError as error:
            refused[name] = str(error)
    return Assignments(assigners, refused)


@dataclass(frozen=True, eq=False)
class OfObjects:
    """The positives of the G objects of an image by an assigner.

    Attributes:
        num_positives: (G,) int64 numbers of positives.
        num_ambiguous: (G,) int64 numbers of those whose centre lies in another object as well.
        sum_ious: (G,) float, sums of the IoUs of their priors with the object.
    """

    num_positives: Tensor
    num_ambiguous: Tensor
    sum_ious: Tensor


def count_by_object(candidates: Candidates, gt_idxs: Tensor) -> OfObjects:
    """Count the positives of each object; ``gt_idxs`` are (M,) int64, -1 for none."""
    rows = (gt_idxs >= 0).nonzero().squeeze(1)
    owners, boxes, gt_boxes = gt_idxs[rows], candidates.boxes_of(rows), candidates.targets.boxes
    points = centers(boxes)[:, None]
    is_inside = ((points > gt_boxes[:, :2]) & (points < gt_boxes[:, 2:])).all(dim=2)  # (P, G)
    is_inside[torch.arange(len(rows), device=rows.device), owners] = False
    num_objects = len(gt_boxes)
    zeros = gt_boxes.new_zeros(num_objects)
    return OfObjects(
        owners.bincount(minlength=num_objects),
        owners[is_inside.any(dim=1)].bincount(minlength=num_objects),
        zeros.index_add(0, owners, paired_iou(boxes, gt_boxes[owners]).to(zeros.dtype)),
    )
