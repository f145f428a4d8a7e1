"""Assigners by key: max_iou is detectron2's matcher, in every place of a detector."""

import pytest
import torch

from imbdet.errors import UserError
from tests.modeling.conftest import make_batch, small_config, train_step

NAMES = ["MODEL.ASSIGNER.NAME", "max_iou", "MODEL.RPN_ASSIGNER.NAME", "max_iou"]


@pytest.mark.parametrize("kind", ["retinanet", "faster_rcnn", "mask_rcnn"])
@pytest.mark.parametrize("num_boxes", [[3, 7], [4, 0], [0, 0]], ids=str)
def test_max_iou_is_detectron2s_matcher(kind, num_boxes, build):
    keys = NAMES[:2] if kind == "retinanet" else NAMES
    by_matcher, by_name = build(small_config(kind)), build(small_config(kind, *keys))
    for seed in range(2):
        batch = make_batch(num_boxes, seed=seed)
        expected, found = (train_step(model, batch, seed) for model in (by_matcher, by_name))
        torch.testing.assert_close(found[0], expected[0], rtol=0, atol=0)
        torch.testing.assert_close(found[1], expected[1], rtol=0, atol=0)


def test_anchors_outside_the_image_are_ignored_by_any_assigner(build):
    keys = ["MODEL.RPN.BOUNDARY_THRESH", 0]
    configs = small_config("faster_rcnn", *keys), small_config("faster_rcnn", *keys, *NAMES)
    losses, expected = (train_step(build(cfg), make_batch([3, 4]))[0] for cfg in configs)
    torch.testing.assert_close(losses, expected, rtol=0, atol=0)


def test_an_assigner_that_does_not_exist(build):
    with pytest.raises(UserError, match=r"MODEL\.ASSIGNER\.NAME is 'max_iuo'.*'max_iou'"):
        build(small_config("retinanet", "MODEL.ASSIGNER.NAME", "max_iuo"))


def test_labels_that_no_thresholds_mean(build):
    keys = ["MODEL.RETINANET.IOU_LABELS", [0, 1, 1], "MODEL.ASSIGNER.NAME", "max_iou"]
    with pytest.raises(UserError, match=r"MODEL\.RETINANET\.IOU_LABELS is \[0, 1, 1\]"):
        build(small_config("retinanet", *keys))
