"""What the keys of samplers and losses do, and what they refuse."""

import copy

import pytest
import torch
from detectron2.utils.events import EventStorage

from imbdet.errors import UserError
from imbdet.weighting import Weights
from tests.modeling.conftest import make_batch, small_config, train_step

CLS_LOSSES = {
    "retinanet": ["focal", "sigmoid_cross_entropy", "ap", "auc"],
    "faster_rcnn": ["softmax_cross_entropy", "sigmoid_cross_entropy", "focal", "ap", "auc"],
}
BOX_LOSSES = ["l1", "smooth_l1", "giou", "diou", "ciou"]


@pytest.mark.parametrize(
    ("kind", "cls_loss"), [(kind, name) for kind, names in CLS_LOSSES.items() for name in names]
)
@pytest.mark.parametrize("num_boxes", [[3, 4], [0, 0]], ids=["objects", "no objects"])
def test_every_classification_loss_trains(kind, cls_loss, num_boxes, build):
    model = build(small_config(kind, "MODEL.CLS_LOSS.NAME", cls_loss))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    batch, first = make_batch(num_boxes), None
    for _ in range(5):
        losses, _, _ = train_step(model, batch)
        optimizer.step()
        assert all(loss.isfinite() for loss in losses.values())
        first = losses["loss_cls"] if first is None else first
    # Without objects there is nothing to rank; the other losses still push the background down.
    has_nothing_to_learn = cls_loss in ("ap", "auc") and not any(num_boxes)
    assert losses["loss_cls"] == 0 if has_nothing_to_learn else losses["loss_cls"] < first


@pytest.mark.parametrize("kind", ["retinanet", "faster_rcnn"])
@pytest.mark.parametrize("name", BOX_LOSSES)
def test_box_loss_by_key_equals_detectron2s_key(kind, name, build):
    node = {"retinanet": "RETINANET", "faster_rcnn": "ROI_BOX_HEAD"}[kind]
    ours = small_config(kind, "MODEL.BOX_LOSS.NAME", name)
    theirs = small_config(kind)
    theirs.MODEL[node].BBOX_REG_LOSS_TYPE = "smooth_l1" if name == "l1" else name
    if name == "l1":
        theirs.MODEL.RETINANET.SMOOTH_L1_LOSS_BETA = 0.0
    batch = make_batch([3, 4])
    losses, expected = (train_step(build(cfg), batch)[0] for cfg in (ours, theirs))
    torch.testing.assert_close(losses, expected)


@pytest.mark.parametrize("cls_loss", ["focal", "sigmoid_cross_entropy"])
def test_rpn_losses_by_key(cls_loss, build):
    keys = ["MODEL.RPN_LOSS.CLS.NAME", cls_loss, "MODEL.RPN_LOSS.BOX.NAME", "giou"]
    cfg = small_config("faster_rcnn", *keys)
    plain = train_step(build(small_config("faster_rcnn")), make_batch([3, 4]))[0]
    losses = train_step(build(cfg), make_batch([3, 4]))[0]
    assert losses.keys() == plain.keys()
    assert losses["loss_rpn_loc"] != plain["loss_rpn_loc"]
    assert (losses["loss_rpn_cls"] == plain["loss_rpn_cls"]) == (cls_loss != "focal")


def test_sampling_all_uses_every_proposal_and_anchor(build):
    keys = [
        f"MODEL.{s}.{k}.NAME" for s in ("SAMPLER", "RPN_SAMPLER") for k in ("POSITIVE", "NEGATIVE")
    ]
    cfg = small_config("faster_rcnn", *(x for key in keys for x in (key, "all")))
    records = {}
    model = build(cfg)
    model.proposal_generator.record_sink = lambda record: records.update(rpn=record)
    model.roi_heads.box_predictor.record_sink = lambda record: records.update(roi=record)
    train_step(model, make_batch([3, 0]))
    # At most 50 proposals an image, and the ground truth appended to the first.
    assert records["roi"].num_per_image[0] > cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE
    assert records["rpn"].num_per_image[1] > 10 * cfg.MODEL.RPN.BATCH_SIZE_PER_IMAGE


def test_a_sigmoid_head_leaves_its_last_column_alone(build):
    model = build(small_config("faster_rcnn", "MODEL.CLS_LOSS.NAME", "sigmoid_cross_entropy"))
    _, gradients, _ = train_step(model, make_batch([3, 4]))
    grad = gradients["roi_heads.box_predictor.cls_score.weight"]
    assert grad[:-1].any()
    assert not grad[-1].any()
    logits = torch.tensor([[0.0, 1, 2, 3, 4, 100]])
    (probs,) = model.roi_heads.box_predictor.predict_probs((logits, None), [range(1)])
    torch.testing.assert_close(probs[0, :-1], logits[0, :-1].sigmoid())
    assert probs[0, -1] == 0


def test_accuracy_of_a_sigmoid_head_knows_the_background(build):
    cfg = small_config("faster_rcnn", "MODEL.CLS_LOSS.NAME", "sigmoid_cross_entropy")
    model = build(cfg)
    torch.nn.init.zeros_(model.roi_heads.box_predictor.cls_score.weight)
    torch.nn.init.constant_(model.roi_heads.box_predictor.cls_score.bias, -9.0)
    _, _, scalars = train_step(model, make_batch([3, 4]))
    assert scalars["fast_rcnn/false_negative"] == 1
    assert scalars["fast_rcnn/fg_cls_accuracy"] == 0
    total = scalars["roi_head/num_fg_samples"] + scalars["roi_head/num_bg_samples"]
    background = scalars["roi_head/num_bg_samples"] / total
    assert scalars["fast_rcnn/cls_accuracy"] == pytest.approx(background)


@pytest.mark.parametrize("kind", ["retinanet", "faster_rcnn"])
def test_the_record_adds_up_to_the_losses(kind, build):
    model = build(small_config(kind))
    site = model if kind == "retinanet" else model.roi_heads.box_predictor
    records = []
    site.record_sink = records.append
    losses, _, _ = train_step(model, make_batch([3, 0]))
    (record,) = records
    normalizer = model.loss_normalizer if kind == "retinanet" else (record.gt_labels >= 0).sum()
    torch.testing.assert_close(record.cls_losses.sum() / normalizer, losses["loss_cls"])
    torch.testing.assert_close(record.box_losses.sum() / normalizer, losses["loss_box_reg"])
    assert not record.cls_losses.requires_grad
    assert (record.gt_idxs >= 0).nonzero().squeeze(1).tolist() == record.pos_idxs.tolist()
    assert set(record.gt_idxs[record.pos_idxs].tolist()) == {0, 1, 2}
    assert ((record.ious >= 0) & (record.ious <= 1 + 1e-6)).all()
    assert (record.ious[record.num_per_image[0] :] == 0).all()  # the image without objects


@pytest.mark.parametrize("kind", ["retinanet", "faster_rcnn"])
def test_weights_multiply_the_losses(kind, build):
    batch = make_batch([3, 4])
    plain = train_step(build(small_config(kind)), batch)[0]
    model = build(small_config(kind))
    site = model if kind == "retinanet" else model.roi_heads.box_predictor
    site.criterion.weighting = lambda samples, cls_losses: Weights(
        torch.full_like(cls_losses, 2), torch.full((len(samples.pos_idxs),), 3.0)
    )
    weighted = train_step(model, batch)[0]
    torch.testing.assert_close(weighted["loss_cls"], 2 * plain["loss_cls"])
    torch.testing.assert_close(weighted["loss_box_reg"], 3 * plain["loss_box_reg"])


@pytest.mark.parametrize(
    ("kind", "keys", "message"),
    [
        (
            "retinanet",
            ["MODEL.CLS_LOSS.NAME", "focl"],
            "MODEL.CLS_LOSS.NAME is 'focl', which does not exist. Did you mean 'focal'?",
        ),
        (
            "faster_rcnn",
            ["MODEL.RPN_LOSS.BOX.NAME", "gious"],
            "MODEL.RPN_LOSS.BOX.NAME is 'gious', which does not exist. Did you mean 'giou'",
        ),
        (
            "faster_rcnn",
            ["MODEL.SAMPLER.NEGATIVE.NAME", "rando"],
            "MODEL.SAMPLER.NEGATIVE.NAME is 'rando', which does not exist. Did you mean 'random'",
        ),
        (
            "retinanet",
            ["MODEL.SAMPLER.POSITIVE.NAME", "random"],
            "MODEL.SAMPLER.POSITIVE.NAME is 'random', but ImbRetinaNet has no quota",
        ),
        (
            "retinanet",
            ["MODEL.CLS_LOSS.NAME", "softmax_cross_entropy"],
            "a softmax loss, but the scores of ImbRetinaNet are made with sigmoid",
        ),
        (
            "retinanet",
            ["MODEL.BOX_LOSS.NAME", "diou", "MODEL.RETINANET.BBOX_REG_LOSS_TYPE", "giou"],
            "MODEL.BOX_LOSS.NAME is 'diou' and MODEL.RETINANET.BBOX_REG_LOSS_TYPE is 'giou'",
        ),
        (
            "faster_rcnn",
            ["MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE", "iou"],
            "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE is 'iou', which does not exist.",
        ),
    ],
)
def test_a_key_without_meaning_is_refused_in_one_sentence(kind, keys, message, build):
    with pytest.raises(UserError) as error:
        build(small_config(kind, *keys))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_detectron2s_own_loss_switches_are_refused(build):
    cfg = small_config("faster_rcnn")
    cfg.MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE = True
    with pytest.raises(UserError, match=r"MODEL\.ROI_BOX_HEAD\.USE_SIGMOID_CE"):
        build(cfg)


def test_a_sampler_that_copies_nothing_works_in_the_roi_heads(build):
    from imbdet.samplers import sample_all

    model = build(small_config("faster_rcnn"))
    model.roi_heads.sampler = sample_all
    with EventStorage():
        losses = model.train()(copy.deepcopy(make_batch([3, 0])))
    assert losses["loss_cls"].isfinite()
