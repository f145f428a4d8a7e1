"""A RetinaNet as a LazyConfig file of a detectron2 project.

imbdet gives it a loss and a sampler; docs/drop_in.md shows the lines that were added.
"""

from imbdet.losses import giou_loss, varifocal_loss
from imbdet.modeling import BoxLoss, ImbRetinaNet, PointwiseCriterion, SampleLoss
from imbdet.samplers import HardSampler, RatioSampler, pick_all

# isort: split
from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling import FPN, ResNet, RetinaNet
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.backbone import BasicStem
from detectron2.modeling.backbone.fpn import LastLevelP6P7
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.meta_arch.retinanet import RetinaNetHead

model = L(RetinaNet)(
    backbone=L(FPN)(
        bottom_up=L(ResNet)(
            stem=L(BasicStem)(in_channels=3, out_channels=64, norm="BN"),
            stages=L(ResNet.make_default_stages)(depth=18, norm="BN"),
            out_features=["res3", "res4", "res5"],
        ),
        in_features=["res3", "res4", "res5"],
        out_channels=64,
        top_block=L(LastLevelP6P7)(
            in_channels=512, out_channels="${..out_channels}", in_feature="res5"
        ),
    ),
    head=L(RetinaNetHead)(
        input_shape=[ShapeSpec(channels=64)] * 5,
        num_classes="${..num_classes}",
        conv_dims=[64, 64],
        num_anchors=3,
    ),
    head_in_features=["p3", "p4", "p5", "p6", "p7"],
    anchor_generator=L(DefaultAnchorGenerator)(
        sizes=[[16], [32], [64], [128], [256]],
        aspect_ratios=[0.5, 1.0, 2.0],
        strides=[8, 16, 32, 64, 128],
    ),
    box2box_transform=L(Box2BoxTransform)(weights=[1.0, 1.0, 1.0, 1.0]),
    anchor_matcher=L(Matcher)(
        thresholds=[0.4, 0.5], labels=[0, -1, 1], allow_low_quality_matches=True
    ),
    num_classes=2,
    pixel_mean=[103.53, 116.28, 123.675],
    pixel_std=[57.375, 57.12, 58.395],
)

model._target_ = ImbRetinaNet
model.sampler = L(RatioSampler)(positive=pick_all, negative=L(HardSampler)(), min_negatives=100)
model.criterion = L(PointwiseCriterion)(
    cls_loss=L(SampleLoss)(loss=varifocal_loss, uses_ious=True),
    box_loss=L(BoxLoss)(loss=giou_loss, compares="boxes"),
)
