"""TEST.AUG: detectron2's test-time augmentation with our detectors, and where there is none."""

import pytest
import torch
from detectron2.modeling import GeneralizedRCNNWithTTA

from imbdet.errors import UserError
from imbdet.modeling.augmented_tests import augment_tests, refuse_test_augmentation
from tests.messages import assert_says
from tests.modeling.conftest import detectron2_config, make_batch, small_config

AUG = [*("TEST.AUG.ENABLED", True), *("TEST.AUG.MIN_SIZES", (64, 96)), "TEST.AUG.MAX_SIZE", 128]


@pytest.mark.parametrize("kind", ["faster_rcnn", "mask_rcnn", "cascade_mask_rcnn"])
def test_detections_are_detectron2s(kind, build):
    cfg = small_config(kind, *AUG)
    refuse_test_augmentation(cfg)
    theirs = detectron2_config(cfg)
    models = augment_tests(cfg, build(cfg).eval()), GeneralizedRCNNWithTTA(theirs, build(theirs))
    with torch.no_grad():
        found, expected = (m.eval()(make_batch([2]))[0]["instances"] for m in models)
    assert len(found) == len(expected) > 0
    torch.testing.assert_close(found.pred_boxes.tensor, expected.pred_boxes.tensor)
    torch.testing.assert_close(found.scores, expected.scores)
    assert found.has("pred_masks") == ("mask" in kind)
    if "mask" in kind:
        assert torch.equal(found.pred_masks, expected.pred_masks)


@pytest.mark.parametrize("name", ["seesaw", "bags"])
def test_an_image_as_it_is_has_the_scores_of_the_detector(name, build):
    # The detector has other columns of logits than detectron2's.
    keys = ["TEST.AUG.MIN_SIZES", (96,), "TEST.AUG.FLIP", False, "MODEL.CLS_LOSS.NAME", name]
    cfg = small_config("faster_rcnn", *AUG, *keys)
    model = build(cfg).eval()
    with torch.no_grad():
        expected, found = (
            each(make_batch([2]))[0]["instances"].scores
            for each in (model, augment_tests(cfg, model))
        )
    torch.testing.assert_close(found, expected)


def test_without_the_key_it_is_the_detector(build):
    cfg = small_config("faster_rcnn")
    model = build(cfg)
    assert augment_tests(cfg, model) is model


@pytest.mark.parametrize(
    ("kind", "opts", "words"),
    [
        ("retinanet", [], ["of two-stage detectors alone", "'ImbRetinaNet'"]),
        ("faster_rcnn", ["MODEL.KEYPOINT_ON", True], ["MODEL.KEYPOINT_ON"]),
    ],
)
def test_what_detectron2_does_not_augment_is_refused(kind, opts, words):
    with pytest.raises(UserError) as error:
        refuse_test_augmentation(small_config(kind, *AUG, *opts))
    assert_says(str(error.value), "TEST.AUG.ENABLED", *words)
