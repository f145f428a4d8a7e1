"""Balanced feature pyramid: every level sees the mean of all levels.

Pang et al., "Libra R-CNN: Towards Balanced Learning for Object Detection", CVPR 2019, sec. 3.2,
https://arxiv.org/abs/1904.02701
"""

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import Backbone
from detectron2.modeling.backbone.fpn import (
    build_resnet_fpn_backbone,
    build_retinanet_resnet_fpn_backbone,
)
from torch import Tensor, nn
from torch.nn import functional as F

from imbdet.errors import UserError, suggest

REFINEMENTS = ("non_local", "none")


class BalancedFPN(Backbone):
    """A feature pyramid whose levels are brought to one size, averaged, refined and given back."""

    def __init__(self, fpn: Backbone, *, refine_level: int, refinement: str):
        """Balance a pyramid.

        Args:
            fpn: gives the levels by name, finest first, all with the same number of channels.
            refine_level: index of the level in whose size they are averaged.
            refinement: "non_local", a non-local block on the mean, or "none".

        Raises:
            UserError: the pyramid has no such level, or there is no such refinement.
        """
        super().__init__()
        self.fpn = fpn
        self.refine_level = refine_level
        shapes = list(fpn.output_shape().values())
        if not 0 <= refine_level < len(shapes):
            raise UserError(
                f"MODEL.BFP.REFINE_LEVEL is {refine_level}, but the pyramid has {len(shapes)} "
                f"levels: it must be at least 0 and less than {len(shapes)}."
            )
        if refinement not in REFINEMENTS:
            raise UserError(
                f"MODEL.BFP.REFINEMENT is {refinement!r}. {suggest(refinement, REFINEMENTS)}"
            )
        is_plain = refinement == "none"
        self.refine = nn.Identity() if is_plain else NonLocal(shapes[0].channels)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Features of the same names and shapes as the pyramid's."""
        features = self.fpn(images)
        levels = list(features.values())
        size = levels[self.refine_level].shape[-2:]
        mean = torch.stack([_resize(level, size) for level in levels]).mean(dim=0)  # eq. 4
        mean = self.refine(mean)
        return {name: level + _resize(mean, level.shape[-2:]) for name, level in features.items()}

    def output_shape(self) -> dict[str, ShapeSpec]:
        """See :class:`Backbone`."""
        return self.fpn.output_shape()

    @property
    def size_divisibility(self) -> int:
        """See :class:`Backbone`."""
        return self.fpn.size_divisibility

    @property
    def padding_constraints(self) -> dict[str, int]:
        """See :class:`Backbone`; only detectron2's main branch asks."""
        return self.fpn.padding_constraints


class NonLocal(nn.Module):
    """Embedded Gaussian non-local block (Wang et al., CVPR 2018), the identity at the start."""

    def __init__(self, channels: int):
        super().__init__()
        self.query, self.key, self.value = (nn.Conv2d(channels, channels, 1) for _ in range(3))
        self.project = nn.Conv2d(channels, channels, 1)
        for layer in (self.query, self.key, self.value):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        query, key, value = (
            layer(features).flatten(2).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return features + self.project(attended.transpose(1, 2).unflatten(2, features.shape[-2:]))


def _resize(features: Tensor, size: torch.Size) -> Tensor:
    """Shrink by the maximum, enlarge by repetition, as published."""
    if size < features.shape[-2:]:  # in height or, of levels one pixel high, in width
        return F.adaptive_max_pool2d(features, size)
    return F.interpolate(features, size=size, mode="nearest")


def _balance(cfg: CfgNode, fpn: Backbone) -> BalancedFPN:
    node = cfg.MODEL.BFP
    return BalancedFPN(fpn, refine_level=node.REFINE_LEVEL, refinement=node.REFINEMENT)


@BACKBONE_REGISTRY.register()
def build_resnet_bfp_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> BalancedFPN:
    """The backbone of two-stage detectors, balanced."""
    return _balance(cfg, build_resnet_fpn_backbone(cfg, input_shape))


@BACKBONE_REGISTRY.register()
def build_retinanet_resnet_bfp_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> BalancedFPN:
    """The backbone of RetinaNet, balanced."""
    return _balance(cfg, build_retinanet_resnet_fpn_backbone(cfg, input_shape))
