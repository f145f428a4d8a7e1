"""Anchors that leave their image, which Faster R-CNN ignored in training.

Ren et al., "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks",
NeurIPS 2015, https://arxiv.org/abs/1506.01497, section 3.3
"""

from dataclasses import replace

import torch

from imbdet.assigners.assigner import Assigner
from imbdet.structures import Assignment, Outputs, Priors, Targets, needs_of


class IgnoreOutside:
    """Ignores anchors that another assigner assigned, if they leave their image."""

    def __init__(self, assigner: Assigner, boundary_thresh: float):
        """Wrap an assigner.

        Args:
            assigner: assigner of all anchors.
            boundary_thresh: distance by which an anchor may leave the image, in pixels, >= 0.
        """
        self.assigner = assigner
        self.needs = needs_of(assigner)
        self.boundary_thresh = boundary_thresh

    def __call__(self, priors: Priors, targets: Targets, *outputs: Outputs) -> Assignment:
        """See :class:`Assigner`; the targets must have the sizes of their images."""
        assignment = self.assigner(priors, targets, *outputs)
        x0, y0, x1, y1 = priors.boxes.unbind(dim=1)
        thresh, is_inside = self.boundary_thresh, []
        for height, width in targets.require_image_sizes():
            is_before_end = (x1 < width + thresh) & (y1 < height + thresh)
            is_inside.append((x0 >= -thresh) & (y0 >= -thresh) & is_before_end)
        gt_idxs = assignment.gt_idxs.masked_fill(~torch.cat(is_inside), -2)
        return replace(assignment, gt_idxs=gt_idxs)
