"""With default keys our detectors are detectron2's: same losses, gradients, scalars, detections."""

import pytest
import torch
from detectron2.structures import Instances
from detectron2.utils.events import EventStorage

from tests.modeling.conftest import detectron2_config, make_batch, small_config, train_step

BATCHES = {"crowded": [3, 7], "one image empty": [4, 0], "all images empty": [0, 0]}
KINDS = [
    *("retinanet", "faster_rcnn", "mask_rcnn", "keypoint_rcnn"),
    *("cascade_rcnn", "cascade_mask_rcnn", "cascade_keypoint_rcnn"),
]


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        if theirs[name] is None:
            assert ours[name] is None or not ours[name].any(), name
        else:
            # 1e-5 of the largest entry: entries near zero are differences of larger numbers.
            atol = 1e-5 * float(theirs[name].abs().max())
            torch.testing.assert_close(ours[name], theirs[name], rtol=1e-5, atol=atol, msg=name)


# Without keypoints detectron2 logs their mean, NaN.
@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_boxes", BATCHES.values(), ids=BATCHES.keys())
def test_losses_gradients_and_scalars_are_detectron2s(kind, num_boxes, build):
    cfg = small_config(kind)
    ours, theirs = build(cfg), build(detectron2_config(cfg))
    for seed in range(2):  # the second step has an updated loss normalizer
        batch = make_batch(num_boxes, seed=seed)
        (losses, grads, scalars), expected = (
            train_step(ours, batch, seed),
            train_step(theirs, batch, seed),
        )
        assert_same(losses, expected[0])
        assert_same(grads, expected[1])
        assert scalars.keys() == expected[2].keys()
        # The last counts over all models of the process.
        for name in scalars.keys() - {"kpts_num_skipped_batches"}:
            assert scalars[name] == pytest.approx(expected[2][name], rel=1e-5, nan_ok=True), name


@pytest.mark.parametrize("loss_type", ["smooth_l1", "giou", "diou", "ciou"])
@pytest.mark.parametrize("kind", ["retinanet", "faster_rcnn"])
def test_box_losses_of_detectron2s_key(kind, loss_type, build):
    keys = {
        "retinanet": {
            "MODEL.RETINANET.BBOX_REG_LOSS_TYPE": loss_type,
            "MODEL.RETINANET.SMOOTH_L1_LOSS_BETA": 0.2,
        },
        "faster_rcnn": {
            "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE": loss_type,
            "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA": 0.5,
            "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": loss_type == "giou",
            "MODEL.RPN.BBOX_REG_LOSS_TYPE": loss_type,
            "MODEL.RPN.BOUNDARY_THRESH": 4,
        },
    }
    cfg = small_config(kind, *(x for pair in keys[kind].items() for x in pair))
    batch = make_batch([3, 5])
    ours, theirs = (train_step(build(c), batch) for c in (cfg, detectron2_config(cfg)))
    assert_same(ours[0], theirs[0])
    assert_same(ours[1], theirs[1])


@pytest.mark.parametrize("kind", ["faster_rcnn", "cascade_rcnn"])
def test_precomputed_proposals(kind, build):
    cfg = small_config(kind, "MODEL.PROPOSAL_GENERATOR.NAME", "PrecomputedProposals")
    batch = make_batch([3, 0])
    for image in batch:
        image["proposals"] = Instances(image["image"].shape[1:])
        image["proposals"].proposal_boxes = make_batch([40], seed=1)[0]["instances"].gt_boxes
        image["proposals"].objectness_logits = torch.zeros(40)
    ours, theirs = (train_step(build(c), batch) for c in (cfg, detectron2_config(cfg)))
    assert not any("rpn" in name for name in ours[0])
    assert_same(ours[0], theirs[0])
    assert_same(ours[1], theirs[1])


@pytest.mark.parametrize("kind", KINDS)
def test_detections_are_detectron2s(kind, build):
    cfg = small_config(kind)
    ours, theirs = build(cfg).eval(), build(detectron2_config(cfg)).eval()
    with torch.no_grad():
        for found, expected in zip(*(m(make_batch([2, 0])) for m in (ours, theirs)), strict=True):
            found, expected = found["instances"], expected["instances"]
            assert len(found) == len(expected) > 0
            torch.testing.assert_close(found.pred_boxes.tensor, expected.pred_boxes.tensor)
            torch.testing.assert_close(found.scores, expected.scores)
            assert torch.equal(found.pred_classes, expected.pred_classes)
            if "keypoint" in kind:
                torch.testing.assert_close(found.pred_keypoints, expected.pred_keypoints)


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_exchanged_with_detectron2(kind, build):
    cfg = small_config(kind)
    ours, theirs = build(cfg), build(detectron2_config(cfg))
    ours.load_state_dict(theirs.state_dict(), strict=True)
    extra = ours.state_dict().keys() - theirs.state_dict().keys()
    assert extra == ({"loss_normalizer"} if kind == "retinanet" else set())
    assert not theirs.state_dict().keys() - ours.state_dict().keys()


def test_loss_normalizer_is_kept_by_a_state(build):
    cfg = small_config("retinanet")
    trained, loaded = build(cfg), build(cfg)
    train_step(trained, make_batch([3, 4]))
    assert trained.loss_normalizer != 100
    loaded.load_state_dict(trained.state_dict())
    assert loaded.loss_normalizer == trained.loss_normalizer


def test_two_batches_before_a_backward_pass(build):
    model = build(small_config("retinanet")).train()
    with EventStorage():
        losses = [sum(model(make_batch([n])).values()) for n in (2, 3)]
        sum(losses).backward()
