"""The parts of a detector take samplers and criteria as arguments, without a config."""

import pytest
import torch

from imbdet.errors import UserError
from imbdet.losses import (
    ap_loss,
    focal_loss,
    sigmoid_cross_entropy_loss,
    smooth_l1_loss,
    softmax_cross_entropy_loss,
)
from imbdet.modeling import (
    BoxLoss,
    ImbFastRCNNOutputLayers,
    ImbRetinaNet,
    ImbROIHeads,
    ImbRPN,
    PointwiseCriterion,
    RankingCriterion,
    SampleLoss,
)
from imbdet.modeling.dense_detector import NORMALIZERS
from imbdet.samplers import HardSampler, QuotaSampler, RatioSampler, pick_all, sample_all
from imbdet.structures.classifiers import SIGMOID, SOFTMAX
from tests.modeling.conftest import make_batch, small_config, train_step

# isort: split
from detectron2.layers import ShapeSpec
from detectron2.modeling import RetinaNet, StandardROIHeads
from detectron2.modeling.proposal_generator import RPN
from detectron2.modeling.roi_heads import FastRCNNOutputLayers
from detectron2.structures import Instances
from detectron2.utils.events import EventStorage


def criterion(loss=None, classifier=SIGMOID):
    box_loss = BoxLoss(smooth_l1_loss)
    if loss is None:
        return RankingCriterion(cls_loss=ap_loss, box_loss=box_loss)
    return PointwiseCriterion(cls_loss=SampleLoss(loss, classifier=classifier), box_loss=box_loss)


def hard_sampler(node):
    return QuotaSampler(
        HardSampler(),
        HardSampler(),
        batch_size_per_image=node.BATCH_SIZE_PER_IMAGE,
        positive_fraction=node.POSITIVE_FRACTION,
    )


def retinanet(cfg, **arguments):
    return ImbRetinaNet(**RetinaNet.from_config(cfg), **arguments)


def rpn(cfg, shapes, **arguments):
    return ImbRPN(**RPN.from_config(cfg, shapes), **arguments)


def roi_heads(cfg, shapes, sampler, **losses):
    arguments = StandardROIHeads.from_config(cfg, shapes)
    if losses:
        predictor = FastRCNNOutputLayers.from_config(cfg, arguments["box_head"].output_shape)
        arguments["box_predictor"] = ImbFastRCNNOutputLayers(**predictor, **losses)
    return ImbROIHeads(**arguments, sampler=sampler)


def test_retinanet_of_arguments_is_that_of_keys(build):
    cfg = small_config("retinanet", "MODEL.SAMPLER.NEGATIVE.NAME", "ohem")
    cfg.MODEL.RETINANET.SMOOTH_L1_LOSS_BETA = 0.0
    by_keys = build(cfg)
    by_arguments = retinanet(
        cfg,
        sampler=RatioSampler(pick_all, HardSampler(), min_negatives=100),
        criterion=criterion(focal_loss),
    )
    assert_equal(by_arguments, by_keys)


def test_rcnn_of_arguments_is_that_of_keys(build):
    ohem = [
        f"MODEL.{s}.{k}.NAME" for s in ("SAMPLER", "RPN_SAMPLER") for k in ("POSITIVE", "NEGATIVE")
    ]
    cfg = small_config("faster_rcnn", *[x for key in ohem for x in (key, "ohem")])
    by_keys = build(cfg)
    by_arguments = build(cfg)
    shapes = by_keys.backbone.output_shape()
    by_arguments.proposal_generator = rpn(
        cfg,
        shapes,
        sampler=hard_sampler(cfg.MODEL.RPN),
        criterion=criterion(sigmoid_cross_entropy_loss),
    )
    by_arguments.roi_heads = roi_heads(
        cfg,
        shapes,
        hard_sampler(cfg.MODEL.ROI_HEADS),
        criterion=criterion(softmax_cross_entropy_loss, SOFTMAX),
    )
    assert_equal(by_arguments, by_keys)


def assert_equal(model, expected):
    model.load_state_dict(expected.state_dict())
    losses, gradients, _ = train_step(model, make_batch([3, 0]))
    expected_losses, expected_gradients, _ = train_step(expected, make_batch([3, 0]))
    torch.testing.assert_close(losses, expected_losses)
    torch.testing.assert_close(gradients, expected_gradients)


def test_a_sampler_of_losses_needs_a_criterion_that_tells_them():
    sampler = RatioSampler(pick_all, HardSampler(), min_negatives=100)
    cfg = small_config("retinanet")
    retinanet(cfg, sampler=sample_all, criterion=criterion())
    with pytest.raises(UserError, match="which RankingCriterion does not tell"):
        retinanet(cfg, sampler=sampler, criterion=criterion())

    cfg = small_config("faster_rcnn")
    shapes = {f"p{i}": ShapeSpec(channels=32, stride=2**i) for i in range(2, 7)}
    with pytest.raises(UserError, match="which RankingCriterion does not tell"):
        rpn(cfg, shapes, sampler=hard_sampler(cfg.MODEL.RPN), criterion=criterion())
    sampler = hard_sampler(cfg.MODEL.ROI_HEADS)
    with pytest.raises(UserError, match="which RankingCriterion does not tell"):
        roi_heads(cfg, shapes, sampler, criterion=criterion())
    with pytest.raises(UserError, match="box_predictor is of FastRCNNOutputLayers"):
        roi_heads(cfg, shapes, sampler)


def test_targets_of_the_rpn_need_no_classes(build):
    model = build(small_config("faster_rcnn"))
    batch = make_batch([2, 0])
    images = model.preprocess_image(batch)
    features = model.backbone(images.tensor)
    targets = [sample["instances"] for sample in batch]
    bare = [Instances(each.image_size, gt_boxes=each.gt_boxes) for each in targets]
    values = []
    for instances in (targets, bare):
        torch.manual_seed(0)
        with EventStorage():
            values.append(model.proposal_generator(images, features, instances)[1])
    torch.testing.assert_close(values[1], values[0], rtol=0, atol=0)


def test_no_image_costs_nothing(build):
    predictor = build(small_config("faster_rcnn")).roi_heads.box_predictor
    with EventStorage():
        losses = predictor.losses(predictor(torch.zeros(0, predictor.cls_score.in_features)), [])
    assert {name: float(loss) for name, loss in losses.items()} == {
        "loss_cls": 0,
        "loss_box_reg": 0,
    }


def test_a_normalizer_that_does_not_exist_is_refused_with_those_that_do():
    arguments = {"sampler": sample_all, "criterion": criterion(), "normalizer": "x"}
    with pytest.raises(ValueError, match="normalizer is 'x': it must be one of") as error:
        retinanet(small_config("retinanet"), **arguments)
    assert all(repr(name) in str(error.value) for name in NORMALIZERS)
