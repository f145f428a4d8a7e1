"""Assigners by key, at every site of a detector where they have a meaning."""

import pytest
import torch

from imbdet.errors import UserError
from imbdet.methods import ASSIGNERS
from imbdet.modeling.unread_keys import refuse_unread_keys
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


DENSE = [name for name, method in ASSIGNERS if "dense heads" in method.places]


def train(model):
    """The scalars that a step logs on two images, of which one has no object."""
    losses, gradients, scalars = train_step(model, make_batch([6, 0]))
    assert all(loss.isfinite() for loss in losses.values())
    assert all(gradient is None or gradient.isfinite().all() for gradient in gradients.values())
    return scalars


@pytest.mark.parametrize("name", DENSE)
def test_every_assigner_trains_a_retinanet(name, build):
    scalars = train(build(small_config("retinanet", "MODEL.ASSIGNER.NAME", name)))
    # DDOD's best candidates may lie outside their object, as nothing is learned yet.
    assert scalars["num_pos_anchors"] > 0 or name == "ddod"


@pytest.mark.parametrize("name", DENSE)
def test_every_assigner_trains_an_rpn(name, build):
    scalars = train(build(small_config("faster_rcnn", "MODEL.RPN_ASSIGNER.NAME", name)))
    assert scalars["rpn/num_pos_anchors"] > 0 or name == "ddod"


DYNAMIC = ["MODEL.ASSIGNER.NAME", "dynamic_iou", "MODEL.ASSIGNER.DYNAMIC_IOU.UPDATE_ITER_INTERVAL"]


def test_the_threshold_of_the_roi_heads_follows_the_proposals(build):
    model = build(
        small_config("faster_rcnn", *DYNAMIC, 2, "MODEL.ASSIGNER.DYNAMIC_IOU.IOU_TOPK", 1)
    )
    assigner = model.roi_heads.assigner
    for _ in range(2):
        train(model)
    assert assigner.iou_threshold.item() == pytest.approx(1)  # the ground truth is a proposal
    state = model.state_dict()
    assert state["roi_heads.assigner.iou_threshold"] == assigner.iou_threshold
    resumed = build(small_config("faster_rcnn", *DYNAMIC, 2))
    resumed.load_state_dict(state, strict=True)
    assert resumed.roi_heads.assigner.iou_threshold == assigner.iou_threshold
    plain = {name: value for name, value in state.items() if "assigner" not in name}
    resumed.load_state_dict(plain, strict=True)


def test_options_have_keys(build):
    keys = ["MODEL.ASSIGNER.NAME", "atss", "MODEL.ASSIGNER.ATSS.TOPK", 2]
    few, many = build(small_config("retinanet", *keys)), build(small_config("retinanet", *keys[:2]))
    numbers = [train_step(model, make_batch([4, 4]))[2]["num_pos_anchors"] for model in (few, many)]
    assert numbers[0] < numbers[1]


@pytest.mark.parametrize(
    ("kind", "keys", "message"),
    [
        ("faster_rcnn", ["MODEL.ASSIGNER.NAME", "atss"], r"asks for levels, which proposals lack"),
        ("faster_rcnn", ["MODEL.ASSIGNER.NAME", "fcos"], r"for levels.* and for strides, which"),
        ("faster_rcnn", ["MODEL.ASSIGNER.NAME", "hungarian"], r"predictions of all priors, which"),
        ("faster_rcnn", ["MODEL.RPN_ASSIGNER.NAME", "dynamic_iou"], r"ImbRPN assigns anchors: "),
        ("retinanet", ["MODEL.ASSIGNER.NAME", "dynamic_iou"], r"ImbRetinaNet assigns anchors: "),
        (
            "retinanet",
            ["MODEL.ASSIGNER.NAME", "paa", "MODEL.ASSIGNER.PAA.TOPK", 0],
            r"MODEL\.ASSIGNER\.PAA\.TOPK is 0: it must be at least 1",
        ),
    ],
)
def test_assigners_where_they_have_no_meaning(kind, keys, message, build):
    with pytest.raises(UserError, match=message):
        build(small_config(kind, *keys))


def test_options_of_an_assigner_that_is_not_chosen():
    cfg = small_config("retinanet", "MODEL.ASSIGNER.ATSS.TOPK", 3)
    with pytest.raises(UserError, match=r"MODEL\.ASSIGNER\.ATSS is set, but only 'atss' reads it"):
        refuse_unread_keys(cfg)
    cfg.MODEL.ASSIGNER.NAME = "atss"
    refuse_unread_keys(cfg)


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
    points = priors.points[: priors.level_sizes[0]].round(decimals=3)
    assert priors.num_per_point == len(points) / len(points.unique(dim=0)) > 1
