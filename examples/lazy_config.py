"""A RetinaNet as a LazyConfig file of a detectron2 project.

imbdet gives it a loss and a sampler; docs/drop_in.md shows the lines that were added.
"""

import torch

from imbdet.losses import giou_loss, varifocal_loss
from imbdet.modeling import BoxLoss, ImbRetinaNet, PointwiseCriterion, SampleLoss
from imbdet.samplers import HardSampler, RatioSampler, pick_all

# isort: split
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from detectron2.layers import ShapeSpec
from detectron2.modeling import FPN, ResNet, RetinaNet
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.backbone import BasicStem
from detectron2.modeling.backbone.fpn import LastLevelP6P7
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.meta_arch.retinanet import RetinaNetHead
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

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
    cls_loss=L(SampleLoss)(loss=varifocal_loss, uses_quality=True),
    box_loss=L(BoxLoss)(loss=giou_loss, compares="boxes"),
)


def main(num_iterations: int = 40) -> None:
    """Train for some steps on noise with bright squares, and print the losses.

    The classification loss rises at first, with the IoU of the boxes, which is its target.
    """
    torch.manual_seed(0)
    detector = instantiate(model).train()
    optimizer = torch.optim.AdamW(detector.parameters(), lr=1e-4)
    with EventStorage():
        for iteration in range(1, num_iterations + 1):
            losses = detector([draw_square() for _ in range(2)])
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
            if iteration % 10 == 0:
                values = ", ".join(f"{name} {loss.item():.3f}" for name, loss in losses.items())
                print(f"iteration {iteration}: {values}")


def draw_square() -> dict:
    """A training image in detectron2's form: a square of 32 pixels and its class."""
    left, top = torch.randint(0, 96, (2,)).tolist()
    image = torch.rand(3, 128, 128) * 128
    image[:, top : top + 32, left : left + 32] += 127
    instances = Instances((128, 128))
    instances.gt_boxes = Boxes([[left, top, left + 32, top + 32]])
    instances.gt_classes = torch.tensor([0])
    return {"image": image, "instances": instances}


if __name__ == "__main__":
    main()
