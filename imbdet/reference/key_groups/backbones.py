"""Keys of backbones and feature pyramids that detectron2 lacks."""

from imbdet.methods.options import NonNegative


class BalancedPyramid:
    """Balanced feature pyramid.

    Attributes:
        refine_level: balanced feature pyramid, with "build_resnet_bfp_backbone" and all other
            backbones with "bfp" for "fpn" in their name: index of the level in whose size all
            levels are averaged, 0 the finest.
        refinement: what refines the mean of the balanced feature pyramid, "non_local" or "none".
    """

    refine_level: NonNegative = 2
    refinement: str = "non_local"


class Timm:
    """The network below a feature pyramid, from the library timm.

    Attributes:
        name: with the backbones "build_timm_fpn_backbone" and "build_p5_timm_fpn_backbone": name of
            a model of timm that gives feature maps, such as "mobilenetv2_100". Its weights are
            MODEL.WEIGHTS; see docs/backbones.md.
        freeze_norm: whether its batch normalization keeps the statistics, scales and shifts of
            MODEL.WEIGHTS, as detectron2's ResNets do. From scratch it has to learn them: False.
    """

    name: str = ""
    freeze_norm: bool = True
