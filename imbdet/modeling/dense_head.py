"""The head of dense detectors: RetinaNet's, with additions of later detectors."""

import torch
from detectron2.config import configurable
from detectron2.modeling.meta_arch.retinanet import RetinaNetHead
from torch import Tensor, nn


class DenseHead(RetinaNetHead):
    """Two branches of convolutions on each level, for classes and for boxes.

    Without the additions it is :class:`RetinaNetHead`; with a quality branch the names of its state
    are those of detectron2's ``FCOSHead``.
    """

    @configurable
    def __init__(
        self,
        *,
        num_anchors: int,
        conv_dims: list[int],
        reg_max: int = 0,
        has_quality: bool = False,
        has_scales: bool = False,
        **kwargs,
    ):
        """Build the head.

        Args:
            num_anchors: number of priors at each location.
            conv_dims: see :class:`RetinaNetHead`.
            reg_max: last bin of the four distributions over 0..reg_max that are the box of a prior;
                0 has four numbers instead.
            has_quality: whether a quality is predicted beside each box (Tian et al., "FCOS", ICCV
                2019, https://arxiv.org/abs/1904.01355, sec. 3.4, in the box branch).
            has_scales: whether each level multiplies its boxes by a learned number (FCOS, sec.
                3.3).
            kwargs: see :class:`RetinaNetHead`.
        """
        super().__init__(num_anchors=num_anchors, conv_dims=conv_dims, **kwargs)
        if reg_max:
            self.bbox_pred = _output_layer(conv_dims[-1], num_anchors * 4 * (reg_max + 1))
        self.reg_max = reg_max
        self.ctrness = _output_layer(conv_dims[-1], num_anchors) if has_quality else None
        self.scales = nn.Parameter(torch.ones(self._num_features)) if has_scales else None

    def forward(self, features: list[Tensor]) -> list[list[Tensor]]:
        """Predict at A priors of each location.

        Returns:
            Logits (N, A K, H, W), boxes (N, A 4, H, W) or (N, A 4 (reg_max + 1), H, W), and, with a
            quality branch, its logits (N, A, H, W), of each level.
        """
        logits, boxes, quality = [], [], []
        for level, feature in enumerate(features):
            logits.append(self.cls_score(self.cls_subnet(feature)))
            box_feature = self.bbox_subnet(feature)
            box = self.bbox_pred(box_feature)
            boxes.append(box if self.scales is None else box * self.scales[level])
            if self.ctrness is not None:
                quality.append(self.ctrness(box_feature))
        return [logits, boxes] if self.ctrness is None else [logits, boxes, quality]


def _output_layer(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A convolution that is initialized like RetinaNet's."""
    layer = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer
