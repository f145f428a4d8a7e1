"""The parts of a dense detector that the keys of MODEL.DENSE choose."""

from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_anchor_generator
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.box_regression import Box2BoxTransform
from torch import nn

from imbdet.errors import UserError
from imbdet.modeling.dense import num_per_point
from imbdet.modeling.dense_head import DenseHead
from imbdet.modeling.registry import read_choice
from imbdet.ops.distances import DistanceTransform
from imbdet.structures import BoxTransform

PRIORS = ("anchors", "points")
BOXES = ("deltas", "distances", "distributions")


def build_priors(cfg: CfgNode, shapes: Sequence[ShapeSpec]) -> nn.Module:
    """The generator of the priors: MODEL.ANCHOR_GENERATOR, or squares as wide as the strides.

    Args:
        cfg: the config.
        shapes: shapes of the features that the head takes.
    """
    if read_choice(cfg, "MODEL.DENSE.PRIORS", PRIORS) == "anchors":
        return build_anchor_generator(cfg, shapes)
    strides = [shape.stride for shape in shapes]
    return DefaultAnchorGenerator(
        sizes=[[stride] for stride in strides],
        aspect_ratios=[[1.0]],
        strides=strides,
        offset=cfg.MODEL.ANCHOR_GENERATOR.OFFSET,
    )


def build_dense_head(cfg: CfgNode, shapes: Sequence[ShapeSpec], priors: nn.Module) -> DenseHead:
    """The head of a dense detector.

    Args:
        cfg: the config.
        shapes: shapes of the features that it takes.
        priors: generator of its priors.
    """
    retinanet, dense = cfg.MODEL.RETINANET, cfg.MODEL.DENSE
    return DenseHead(
        input_shape=list(shapes),
        num_classes=retinanet.NUM_CLASSES,
        num_anchors=num_per_point(priors),
        conv_dims=[shapes[0].channels] * retinanet.NUM_CONVS,
        norm=retinanet.NORM,
        prior_prob=retinanet.PRIOR_PROB,
        reg_max=dense.REG_MAX if dense.BOXES == "distributions" else 0,
        has_quality=bool(dense.QUALITY),
        has_scales=dense.LEVEL_SCALES,
    )


def build_transform(cfg: CfgNode, shapes: Sequence[ShapeSpec], priors: nn.Module) -> BoxTransform:
    """The transform between the head's numbers and boxes.

    Args:
        cfg: the config.
        shapes: shapes of the features that the head takes.
        priors: generator of the priors.

    Raises:
        UserError: distances cannot be measured in strides, as the priors are not squares whose
            sides are the same number of strides on all levels.
    """
    boxes = read_choice(cfg, "MODEL.DENSE.BOXES", BOXES)
    if boxes == "deltas":
        return Box2BoxTransform(weights=cfg.MODEL.RETINANET.BBOX_REG_WEIGHTS)
    strides_per_prior = set()
    for shape, cells in zip(shapes, priors.cell_anchors, strict=True):
        sides = cells[:, 2:] - cells[:, :2]
        strides_per_prior.update((sides / shape.stride).flatten().tolist())
    if len(strides_per_prior) > 1:
        raise UserError(
            f"MODEL.DENSE.BOXES is {boxes!r}, which are measured in strides from the centre of a "
            "prior, so that each must be a square of as many strides on all levels: set "
            "MODEL.DENSE.PRIORS to 'points', or one size for each level and the ratio 1.0 under "
            "MODEL.ANCHOR_GENERATOR."
        )
    return DistanceTransform(strides_per_prior.pop())
