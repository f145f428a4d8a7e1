"""Dynamic label assignment: the IoU threshold rises as the proposals become better.

Zhang et al., "Dynamic R-CNN: Towards High Quality Object Detection via Dynamic Training", ECCV
2020, https://arxiv.org/abs/2004.06002, section 4.1
"""

from functools import partial

import torch
from torch import Tensor

from imbdet.assigners.assigner import assign_images
from imbdet.assigners.max_iou import max_iou
from imbdet.methods import ASSIGNERS
from imbdet.methods.options import Count, Share
from imbdet.ops.buffers import KeepsMissingBuffers
from imbdet.structures import Assignment, Priors, Targets


@ASSIGNERS.register(
    "dynamic_iou",
    "An IoU threshold that rises as the proposals become better, as in Dynamic R-CNN.",
    "Zhang et al., ECCV 2020, https://arxiv.org/abs/2004.06002",
    places=("RoI heads",),
)
class DynamicIoU(KeepsMissingBuffers):
    """A proposal belongs to the object of the highest IoU if that reaches a moving threshold.

    In training, the threshold becomes the mean, over the last iterations, of the IoU of the
    (``iou_topk`` * B)-th best proposal of a batch with B images, but not less than the initial one.
    As in the authors' code, the ground truth counts where it is among the proposals. Images without
    objects do not count; the authors' code skips their whole batch.

    Each process has its own threshold, as published. It and the sums for the next one are buffers,
    so that a checkpoint keeps them.
    """

    takes_batches = True

    def __init__(
        self,
        *,
        iou_topk: Count = 75,
        update_iter_interval: Count = 100,
        initial_iou: Share = 0.4,
    ):
        """Start with the initial threshold.

        Args:
            iou_topk: rank of the proposal whose IoU is recorded, per image (the paper's K_I).
            update_iter_interval: number of iterations between thresholds (the paper's C).
            initial_iou: the first threshold, and the lowest.
        """
        super().__init__()
        self.iou_topk = iou_topk
        self.update_iter_interval = update_iter_interval
        self.initial_iou = initial_iou
        self.iou_threshold: Tensor
        self.recorded: Tensor
        self.register_buffer("iou_threshold", torch.tensor(initial_iou, dtype=torch.float64))
        # Sum and number of the IoUs since the last threshold.
        self.register_buffer("recorded", torch.zeros(2, dtype=torch.float64))

    @torch.no_grad()
    def forward(self, priors: Priors, targets: Targets) -> Assignment:
        """See :class:`Assigner`; ``ious`` are the highest IoUs of all proposals with any object."""
        threshold = self.iou_threshold.item()
        fixed = partial(
            max_iou,
            negative_below=threshold,
            positive_from=threshold,
            allow_low_quality_matches=False,
        )
        if priors.num_per_image is None:
            assignment = fixed(priors, targets)
        else:
            assignment = assign_images(fixed, priors, targets)
        if self.training:
            self._record(assignment.ious, targets)
        return assignment

    def _record(self, ious: Tensor, targets: Targets) -> None:
        num_images = sum(count > 0 for count in targets.counts)
        place = min(self.iou_topk * num_images, len(ious))
        if place == 0:
            return
        self.recorded[0] += ious.topk(place).values[-1]
        self.recorded[1] += 1
        if self.recorded[1] >= self.update_iter_interval:
            mean = self.recorded[0] / self.recorded[1]
            self.iou_threshold.copy_(mean.clamp(min=self.initial_iou))
            self.recorded.zero_()
