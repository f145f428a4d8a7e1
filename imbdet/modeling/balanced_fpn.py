"""Balanced feature pyramid: the mean of all levels is added to every level.

Pang et al., "Libra R-CNN: Towards Balanced Learning for Object Detection", CVPR 2019, sec. 3.2,
https://arxiv.org/abs/1904.02701
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
from imbdet.modeling.p5_fpn import build_p5_resnet_fpn_backbone
from imbdet.modeling.timm_fpn import build_p5_timm_fpn_backbone, build_timm_fpn_backbone

REFINEMENTS = ("non_local", "none")


class Balance(nn.Module):
    """Brings the levels of a pyramid to one size, takes their mean, refines it and adds it to each.

    Args:
        shapes: shapes of the levels, finest first, all with the same number of channels.
        refine_level: index of the level at whose size they are averaged.
        refinement: "non_local", a non-local block on the mean, or "none".

    Raises:
        UserError: the pyramid has no such level, or there is no such refinement.
    """

    def __init__(self, shapes: Sequence[ShapeSpec], *, refine_level: int, refinement: str):
        super().__init__()
        self.refine_level = refine_level
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

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Balance levels (N, C, H, W) by name, finest first; names and shapes stay."""
        levels = list(features.values())
        size = levels[self.refine_level].shape[-2:]
        mean = torch.stack([_resize(level, size) for level in levels]).mean(dim=0)  # eq. 3
        mean = self.refine(mean)
        return {name: level + _resize(mean, level.shape[-2:]) for name, level in features.items()}


class NonLocal(nn.Module):
    """Embedded Gaussian non-local block (Wang et al., CVPR 2018), the identity at the start.

    Its initialization is that of later versions of MMDetection; the authors of Libra R-CNN
    initialize all of its convolutions by Xavier's method, the last one included.
    """

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
        """Add the block's output to features (N, C, H, W)."""
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


def balance_pyramid(pyramid: Backbone, *, refine_level: int, refinement: str) -> Backbone:
    """Balance the levels of a pyramid. Its tensors keep their names, so that its weights fit.

    Args:
        pyramid: pyramid that returns levels by name, finest first; it is changed in place.
        refine_level: see :class:`Balance`.
        refinement: see :class:`Balance`.

    Returns:
        The pyramid, with the module ``balance``.

    Raises:
        UserError: see :class:`Balance`.
    """
    shapes = list(pyramid.output_shape().values())
    pyramid.balance = Balance(shapes, refine_level=refine_level, refinement=refinement)
    pyramid.register_forward_hook(_balance_features)
    return pyramid


def _balance_features(pyramid: nn.Module, _: Any, features: dict[str, Tensor]) -> dict[str, Tensor]:
    return pyramid.balance(features)


def _register_balanced(build: Callable[[CfgNode, ShapeSpec], Backbone]) -> None:
    """Register "build_..._bfp_backbone", which balances the pyramid of "build_..._fpn_backbone"."""

    def build_balanced(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
        node = cfg.MODEL.BFP
        return balance_pyramid(
            build(cfg, input_shape), refine_level=node.REFINE_LEVEL, refinement=node.REFINEMENT
        )

    build_balanced.__name__ = build.__name__.replace("_fpn_", "_bfp_")
    BACKBONE_REGISTRY.register(build_balanced)


for _build in (
    build_resnet_fpn_backbone,
    build_retinanet_resnet_fpn_backbone,
    build_p5_resnet_fpn_backbone,
    build_timm_fpn_backbone,
    build_p5_timm_fpn_backbone,
):
    _register_balanced(_build)
