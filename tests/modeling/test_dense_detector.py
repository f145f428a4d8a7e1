"""ImbDense: its cases that are detectron2's detectors, its parts, and its refusals."""

import pytest
import torch
from detectron2.modeling.meta_arch.fcos import FCOS, FCOSHead

from imbdet.errors import UserError
from imbdet.modeling import refuse_unread_keys
from tests.modeling.conftest import NUM_CLASSES, make_batch, small_config, train_step
from tests.modeling.test_equality import assert_same

FCOS_KEYS = (
    *("MODEL.DENSE.PRIORS", "points", "MODEL.DENSE.BOXES", "distances"),
    *("MODEL.DENSE.QUALITY", "centerness", "MODEL.ASSIGNER.NAME", "fcos"),
    *("MODEL.BOX_LOSS.NAME", "giou", "MODEL.ANCHOR_GENERATOR.OFFSET", 0.5),
)
GFL_KEYS = (
    *("MODEL.DENSE.BOXES", "distributions", "MODEL.DENSE.REG_MAX", 8),
    *("MODEL.DENSE.BOX_QUALITY", "score", "MODEL.DENSE.NORMALIZER", "positives"),
    *("MODEL.ASSIGNER.NAME", "atss", "MODEL.CLS_LOSS.NAME", "quality_focal"),
    *(
        "MODEL.BOX_LOSS.NAME",
        "giou",
        "MODEL.ANCHOR_GENERATOR.SIZES",
        SQUARES := str([[32], [64], [128], [256], [512]]),
    ),
    *("MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", "[[1.0]]"),
)


def dense_config(*opts):
    cfg = small_config("retinanet", "MODEL.META_ARCHITECTURE", "ImbDense")
    cfg.merge_from_list(list(opts))
    return cfg


def detectron2_fcos(ours):
    """detectron2's FCOS with the weights of ours."""
    shapes = ours.backbone.output_shape()
    features = list(ours.head_in_features)
    shapes = [shapes[name] for name in features]
    theirs = FCOS(
        backbone=ours.backbone,
        head=FCOSHead(input_shape=shapes, num_classes=NUM_CLASSES, conv_dims=[32]),
        head_in_features=features,
        num_classes=NUM_CLASSES,
        pixel_mean=ours.pixel_mean.flatten().tolist(),
        pixel_std=ours.pixel_std.flatten().tolist(),
        test_score_thresh=ours.test_score_thresh,
        test_nms_thresh=ours.test_nms_thresh,
    )
    theirs.head.load_state_dict(ours.head.state_dict())
    return theirs


def test_with_default_keys_it_is_imb_retinanet(build):
    ours, retinanet = build(dense_config()), build(small_config("retinanet"))
    retinanet.load_state_dict(ours.state_dict())
    batch = make_batch([3, 0])
    for one, other in zip(
        train_step(ours, batch)[:2], train_step(retinanet, batch)[:2], strict=True
    ):
        assert_same(one, other)


def test_with_the_keys_of_fcos_it_is_detectron2s_fcos(build):
    ours = build(dense_config(*FCOS_KEYS))
    ours.loss_normalizer.fill_(300.0)  # where detectron2's FCOS starts
    theirs = detectron2_fcos(ours)
    for seed in range(2):
        batch = make_batch([3, 7], seed=seed)
        found, found_grads, _ = train_step(ours, batch, seed)
        expected, expected_grads, _ = train_step(theirs, batch, seed)
        expected = dict(
            zip(["loss_cls", "loss_box_reg", "loss_quality"], expected.values(), strict=True)
        )
        assert_same(found, expected)
        assert_same(found_grads, expected_grads)


def test_detections_are_those_of_detectron2s_fcos(build):
    ours = build(dense_config(*FCOS_KEYS)).eval()
    theirs = detectron2_fcos(ours).eval()
    with torch.no_grad():
        for found, expected in zip(*(m(make_batch([2, 0])) for m in (ours, theirs)), strict=True):
            found, expected = found["instances"], expected["instances"]
            assert len(found) == len(expected) > 0
            torch.testing.assert_close(found.pred_boxes.tensor, expected.pred_boxes.tensor)
            torch.testing.assert_close(found.scores, expected.scores)


@pytest.mark.parametrize("keys", [FCOS_KEYS, GFL_KEYS], ids=["fcos", "gfl"])
def test_a_step_is_finite_without_objects(keys, build):
    losses, gradients, _ = train_step(build(dense_config(*keys)), make_batch([0, 0]))
    assert all(loss.isfinite() for loss in losses.values())
    assert all(gradient.isfinite().all() for gradient in gradients.values())


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (["MODEL.DENSE.PRIORS", "dots"], "MODEL.DENSE.PRIORS is 'dots'"),
        (["MODEL.DENSE.BOXES", "corners"], "MODEL.DENSE.BOXES is 'corners'"),
        (["MODEL.DENSE.QUALITY", "score"], "MODEL.DENSE.QUALITY is 'score'"),
        (["MODEL.DENSE.BOX_QUALITY", "size"], "MODEL.DENSE.BOX_QUALITY is 'size'"),
        (["MODEL.DENSE.NORMALIZER", "none"], "MODEL.DENSE.NORMALIZER is 'none'"),
        (["MODEL.DENSE.QUALITY", "centerness"], "choose one of 'atss', 'ddod', 'fcos', 'task"),
        (
            ["MODEL.DENSE.BOX_QUALITY", "centerness", "MODEL.ASSIGNER.NAME", "simota"],
            "a prior outside of its object does not have",
        ),
        (["MODEL.DENSE.BOX_QUALITY", "assigned"], "tells none: choose one of 'task_aligned'"),
        (
            ["MODEL.DENSE.NORMALIZER", "quality", "MODEL.ASSIGNER.NAME", "atss"],
            "MODEL.DENSE.NORMALIZER is 'quality', the quality that the assigner tells",
        ),
        (["MODEL.DENSE.BOXES", "distances"], "each must be a square of as many strides"),
        (
            ["MODEL.DENSE.BOX_QUALITY", "iou", "MODEL.BOX_LOSS.NAME", "ghm_r"],
            "MODEL.BOX_LOSS.NAME is 'ghm_r', which has a divisor of its own",
        ),
        (
            ["MODEL.DENSE.QUALITY", "iou", "MODEL.CLS_LOSS.NAME", "rank_sort"],
            "'rank_sort' has its own use of their box losses",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(opts, message, build):
    with pytest.raises(UserError, match=message):
        build(dense_config(*opts))


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (["MODEL.DENSE.REG_MAX", 8], "MODEL.DENSE.REG_MAX is set, but MODEL.DENSE.BOXES is"),
        (["MODEL.DENSE.QUALITY_LOSS_WEIGHT", 2.0], "MODEL.DENSE.QUALITY is empty"),
    ],
)
def test_options_of_parts_that_are_not_there_are_refused(opts, message):
    with pytest.raises(UserError, match=message):
        refuse_unread_keys(dense_config(*opts))


def test_imb_retinanet_does_not_read_the_keys_of_the_parts():
    cfg = small_config("retinanet", "MODEL.DENSE.LEVEL_SCALES", True)
    with pytest.raises(UserError, match="only ImbDense would read it"):
        refuse_unread_keys(cfg)


def test_group_norm_names_its_key(build):
    cfg = dense_config("MODEL.RETINANET.NORM", "GN", "MODEL.FPN.OUT_CHANNELS", 40)
    with pytest.raises(UserError, match=r"MODEL\.RETINANET\.NORM is 'GN'.* no multiple of 32"):
        build(cfg)


def test_group_norm_of_the_head_is_built(build):
    keys = ("MODEL.RETINANET.NORM", "GN")
    for cfg in (dense_config(*keys), small_config("retinanet", *keys)):
        losses, _, _ = train_step(build(cfg), make_batch([2, 0]))
        assert all(loss.isfinite() for loss in losses.values())
