"""Feature pyramids on the networks of the library timm: small ones, mobile ones, newer ones.

``pip install 'imbdet[timm]'`` installs the library, which is imported when a config needs it.
"""

import itertools
import logging
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import FPN, Backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool, LastLevelP6P7
from torch import Tensor, nn

from imbdet.errors import UserError, suggest

logger = logging.getLogger(__name__)

# Side, in pixels, of the image that shows on which parameters a feature map depends.
_PROBE_SIZE = 64
# Rounding changes means and deviations of pixels by less than this.
_ROUNDING = 0.5


class TimmBackbone(Backbone):
    """The feature maps of a timm model, named as those of a ResNet: "res3" has a stride of 2^3."""

    def __init__(self, name: str, *, in_channels: int, freeze_at: int, freeze_norm: bool):
        """Build a model with random weights.

        Args:
            name: name of the model in timm, such as "mobilenetv2_100".
            in_channels: number of channels of the images.
            freeze_at: exponent of the largest frozen stride: the layers of feature maps with
                strides up to 2^freeze_at do not learn; 0 freezes none. For a ResNet, 1 is the stem
                and 2 the first stage, as in detectron2.
            freeze_norm: whether all batch normalization layers keep their statistics, scales and
                shifts, not only those of layers that do not learn.

        Raises:
            UserError: timm is not installed, or has no such model with feature maps.
        """
        super().__init__()
        timm = _import_timm()
        self.body = _create(timm, name, in_channels)
        info = self.body.feature_info
        strides = {f"res{stride.bit_length() - 1}": stride for stride in info.reduction()}
        self._shapes = {
            stage: ShapeSpec(channels=channels, stride=stride)
            for (stage, stride), channels in zip(strides.items(), info.channels(), strict=True)
        }
        self._freeze([stride <= 2**freeze_at for stride in strides.values()], in_channels)
        for path, module in list(self.body.named_modules()):
            if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm) and (
                freeze_norm or not module.weight.requires_grad
            ):
                self.body.set_submodule(path, timm.layers.freeze_batch_norm_2d(module))

    def _freeze(self, is_frozen: Sequence[bool], in_channels: int) -> None:
        """Freeze all parameters on which the frozen feature maps depend."""
        if not any(is_frozen):
            return
        self.body.eval()  # so that nothing is drawn, and no statistics change
        maps = self.body(torch.zeros(1, in_channels, _PROBE_SIZE, _PROBE_SIZE))
        total = sum(x.sum() for x, frozen in zip(maps, is_frozen, strict=True) if frozen)
        parameters = list(self.body.parameters())
        gradients = torch.autograd.grad(total, parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.requires_grad_(gradient is None)
        self.body.train()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Feature maps (N, C_s, H / s, W / s) of strides s, by name, of images (N, C, H, W)."""
        return dict(zip(self._shapes, self.body(images), strict=True))

    def output_shape(self) -> dict[str, ShapeSpec]:
        """See :class:`Backbone`."""
        return self._shapes


def _import_timm() -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise UserError(
            "The backbones of timm need timm, which is not installed: pip install 'imbdet[timm]'."
        ) from error
    return timm


def _create(timm: ModuleType, name: str, in_channels: int) -> Any:
    if not timm.is_model(name):
        models = timm.list_models()
        raise UserError(
            f"MODEL.TIMM.NAME is {name!r}, which timm {timm.__version__} does not have. "
            f"{suggest(name, models)}"
        )
    model = timm.create_model(name, features_only=True, in_chans=in_channels)
    strides = model.feature_info.reduction()
    is_pyramid = all(coarse == 2 * fine for fine, coarse in itertools.pairwise(strides))
    channels_first = timm.layers.Format.NCHW
    form = getattr(model, "output_fmt", channels_first)
    if not is_pyramid or form != channels_first:
        raise UserError(
            f"MODEL.TIMM.NAME is {name!r}, whose maps have the strides {strides} in the form "
            f"{form.value}: choose a model whose strides double from map to map, in the form NCHW."
        )
    return model


def _warn_of_other_pixels(cfg: CfgNode) -> None:
    """Warn if MODEL.PIXEL_MEAN or PIXEL_STD is not that of timm's weights."""
    expected = _import_timm().get_pretrained_cfg(cfg.MODEL.TIMM.NAME)
    if expected is None or cfg.INPUT.FORMAT not in ("RGB", "BGR"):
        return
    for key, shares in (("PIXEL_MEAN", expected.mean), ("PIXEL_STD", expected.std)):
        # timm's are of RGB images from 0 to 1, detectron2's of images from 0 to 255.
        values = [round(255 * share, 3) for share in shares]
        if cfg.INPUT.FORMAT == "BGR":
            values.reverse()
        if any(abs(a - b) > _ROUNDING for a, b in zip(cfg.MODEL[key], values, strict=True)):
            logger.warning(
                f"MODEL.{key} is {cfg.MODEL[key]}, but timm's weights of {cfg.MODEL.TIMM.NAME!r} "
                f"are of images with {values}, in INPUT.FORMAT {cfg.INPUT.FORMAT!r}: set it so, "
                "unless you train from scratch."
            )


def _build_bottom_up(cfg: CfgNode, input_shape: ShapeSpec) -> TimmBackbone:
    node = cfg.MODEL.TIMM
    if not node.NAME:
        raise UserError(
            "MODEL.TIMM.NAME is empty: name a model of timm, such as 'mobilenetv2_100'."
        )
    backbone = TimmBackbone(
        node.NAME,
        in_channels=input_shape.channels,
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
        freeze_norm=node.FREEZE_NORM,
    )
    stages = backbone.output_shape()
    for stage in cfg.MODEL.FPN.IN_FEATURES:
        if stage not in stages:
            raise UserError(
                f"MODEL.FPN.IN_FEATURES has {stage!r}, but {node.NAME!r} has {', '.join(stages)}."
            )
    _warn_of_other_pixels(cfg)
    return backbone


def _build_fpn(cfg: CfgNode, input_shape: ShapeSpec, top_block: nn.Module) -> FPN:
    return FPN(
        bottom_up=_build_bottom_up(cfg, input_shape),
        in_features=cfg.MODEL.FPN.IN_FEATURES,
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=top_block,
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )


@BACKBONE_REGISTRY.register()
def build_timm_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """The pyramid of two-stage detectors, on MODEL.TIMM.NAME: P6 is every second cell of P5."""
    return _build_fpn(cfg, input_shape, LastLevelMaxPool())


@BACKBONE_REGISTRY.register()
def build_p5_timm_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """The pyramid of dense detectors, on MODEL.TIMM.NAME: P6 and P7 are learned from P5."""
    channels = cfg.MODEL.FPN.OUT_CHANNELS
    return _build_fpn(cfg, input_shape, LastLevelP6P7(channels, channels, in_feature="p5"))
