"""Boxes as distances from a point to their four sides.

Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection", ICCV 2019,
https://arxiv.org/abs/1904.01355
"""

import torch
from torch import Tensor

from imbdet.ops.boxes import centers


class DistanceTransform:
    """Encodes and decodes distances in strides; see :class:`imbdet.structures.BoxTransform`.

    A box that does not contain its prior's centre has negative distances, which decode to 0.
    """

    def __init__(self, strides_per_prior: float = 1.0):
        """Set the unit.

        Args:
            strides_per_prior: width of a prior in strides, > 0: 1 for points.
        """
        self.strides_per_prior = strides_per_prior

    def get_deltas(self, boxes: Tensor, gt_boxes: Tensor) -> Tensor:
        """(R, 4) distances to the left, top, right and bottom side (eq. 1), in strides."""
        points = centers(boxes)
        distances = torch.cat([points - gt_boxes[:, :2], gt_boxes[:, 2:] - points], dim=1)
        return distances / self._strides(boxes)

    def apply_deltas(self, deltas: Tensor, boxes: Tensor) -> Tensor:
        """(R, 4) boxes with these distances, in strides, from the centres of the priors."""
        points, distances = centers(boxes), deltas.relu() * self._strides(boxes)
        return torch.cat([points - distances[:, :2], points + distances[:, 2:]], dim=1)

    def _strides(self, boxes: Tensor) -> Tensor:
        """(R, 1) strides in pixels."""
        return (boxes[:, 2:3] - boxes[:, :1]) / self.strides_per_prior
