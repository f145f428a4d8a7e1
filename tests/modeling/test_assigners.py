"""Assigners by key: max_iou is detectron2's matcher, in every place of a detector."""

import pytest
import torch

from imbdet.errors import UserError
from tests.modeling.conftest import make_batch, small_config, train_step

# isort: split
from detectron2.modeling.anchor_generator import ANCHOR_GENERATOR_REGISTRY, DefaultAnchorGenerator

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


@pytest.fixture
def shifted_strides(monkeypatch):
    """An anchor generator whose anchors are twice as far apart as the features."""

    class CoarseAnchors(DefaultAnchorGenerator):
        @classmethod
        def from_config(cls, cfg, input_shape):
            options = super().from_config(cfg, input_shape)
            return {**options, "strides": [2 * stride for stride in options["strides"]]}

    monkeypatch.setitem(ANCHOR_GENERATOR_REGISTRY._obj_map, "CoarseAnchors", CoarseAnchors)
    return ["MODEL.ANCHOR_GENERATOR.NAME", "CoarseAnchors"]


@pytest.mark.parametrize("kind", ["retinanet", "faster_rcnn"])
def test_strides_that_are_not_those_of_the_features(kind, build, shifted_strides):
    with pytest.raises(UserError, match=r"CoarseAnchors has anchors with strides of \[(16|8), "):
        build(small_config(kind, *shifted_strides))


@pytest.mark.parametrize(("kind", "finest"), [("retinanet", 8), ("faster_rcnn", 4)])
def test_priors_of_dense_heads_have_the_strides_of_their_levels(kind, finest, build):
    model = build(small_config(kind))
    place = model if kind == "retinanet" else model.proposal_generator
    seen = []
    place.learner.candidate_sink = seen.append
    train_step(model, make_batch([2, 1]))
    (candidates,) = seen
    priors = candidates.priors
    levels = priors.strides.split(priors.level_sizes)
    expected = [finest * 2**level for level in range(5)]
    assert [level.unique().tolist() for level in levels] == [[stride] for stride in expected]
