"""Samplers and weightings by key, on real detectors."""

import copy

import pytest
import torch
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.utils.events import EventStorage

from imbdet.learning import learners_of
from imbdet.losses import sigmoid_cross_entropy_loss, smooth_l1_loss
from imbdet.modeling import BoxLoss, PointwiseCriterion, SampleLoss
from imbdet.structures import Candidates
from tests.flow import make_candidates, make_samples
from tests.modeling.conftest import make_batch, small_config, train_step

PISA = [
    *("MODEL.SAMPLER.NEGATIVE.NAME", "score_hlr"),
    *("MODEL.WEIGHTING.NAMES", ["isr_p", "isr_n"]),
    *("MODEL.CARL.ENABLED", True),
]
OHEM = ["MODEL.SAMPLER.POSITIVE.NAME", "ohem", "MODEL.SAMPLER.NEGATIVE.NAME", "ohem"]


def spy(owner):
    """The (candidates, choice) pairs of the sampler of a model's part."""
    seen, sampler = [], owner.learner.sampler

    def watched(candidates):
        choice = sampler(candidates)
        seen.append((candidates, choice))
        return choice

    watched.needs = sampler.needs
    owner.learner.sampler = watched
    return seen


def per_image(values, counts):
    return values.split(list(counts))


@pytest.mark.parametrize("num_boxes", [[3, 7], [4, 0]], ids=["objects", "one image empty"])
def test_ohem_takes_the_proposals_that_pay_most(num_boxes, build):
    model = build(small_config("faster_rcnn", *OHEM, "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 16))
    seen, records = spy(model.roi_heads), []
    model.roi_heads.learner.record_sinks.append(records.append)
    train_step(model, make_batch(num_boxes))
    ((candidates, choice),) = seen
    losses = candidates.cls_losses
    # The losses of the preview are those of the chosen samples.
    torch.testing.assert_close(losses[choice.idxs], records[0].cls_losses)
    is_chosen = torch.zeros(len(losses), dtype=torch.bool)
    is_chosen[choice.idxs] = True
    for image in range(2):
        for is_positive in (True, False):
            kind = (candidates.gt_labels < candidates.num_classes) == is_positive
            kind &= candidates.image_idxs == image
            chosen, others = losses[kind & is_chosen], losses[kind & ~is_chosen]
            if len(chosen) > 0 and len(others) > 0:
                assert chosen.min() >= others.max()
    assert choice.num_per_image == [16, 16]


@pytest.mark.parametrize("num_boxes", [[3, 7], [4, 0]], ids=["objects", "one image empty"])
def test_ohem_of_anchors_keeps_a_ratio(num_boxes, build):
    keys = ["MODEL.SAMPLER.NEGATIVE.NAME", "ohem", "MODEL.SAMPLER.NEG_POS_RATIO", 2.0]
    model = build(small_config("retinanet", *keys, "MODEL.SAMPLER.MIN_NEGATIVES", 5))
    seen, records = spy(model), []
    model.learner.record_sinks.append(records.append)
    train_step(model, make_batch(num_boxes))
    ((candidates, choice),) = seen
    torch.testing.assert_close(candidates.cls_losses[choice.idxs], records[0].cls_losses)
    for labels in per_image(records[0].samples.gt_labels, choice.num_per_image):
        num_positives = int((labels < candidates.num_classes).sum())
        assert len(labels) == num_positives + max(2 * num_positives, 5)


def test_the_preview_leaves_batch_normalization_and_ghm_alone(build):
    keys = ["MODEL.ROI_BOX_HEAD.NUM_CONV", 1, "MODEL.ROI_BOX_HEAD.NORM", "BN"]
    keys += ["MODEL.CLS_LOSS.NAME", "ghm_c"]
    model = build(small_config("faster_rcnn", *OHEM, *keys)).train()
    heads, batch = model.roi_heads, copy.deepcopy(make_batch([3, 4]))
    before = {name: buffer.clone() for name, buffer in heads.named_buffers()}
    assert len(before) > 3
    with EventStorage():
        images = model.preprocess_image(batch)
        targets = [x["instances"] for x in batch]
        features = model.backbone(images.tensor)
        proposals, _ = model.proposal_generator(images, features, targets)
        heads.choose_proposals(proposals, targets, features)
        for name, buffer in heads.named_buffers():
            assert torch.equal(buffer, before[name]), name
        heads(images, features, proposals, targets)
    assert any(not torch.equal(buffer, before[name]) for name, buffer in heads.named_buffers())


CLS_LOSSES = ["focal", "sigmoid_cross_entropy", "quality_focal", "ghm_c"]


@pytest.mark.parametrize(
    ("kind", "cls_loss"),
    [("faster_rcnn", "softmax_cross_entropy")]
    + [(kind, name) for kind in ("retinanet", "faster_rcnn") for name in CLS_LOSSES],
)
def test_importance_leaves_the_total_loss(kind, cls_loss, build):
    keys = ["MODEL.CLS_LOSS.NAME", cls_loss]
    names = ["isr_p"]
    if kind == "faster_rcnn":
        keys += ["MODEL.SAMPLER.NEGATIVE.NAME", "score_hlr"]
        names.append("isr_n")
    batch = make_batch([3, 7])
    plain, _, _ = train_step(build(small_config(kind, *keys)), batch)
    model = build(small_config(kind, *keys, "MODEL.WEIGHTING.NAMES", names))
    records = []
    learners_of(model)[-1].record_sinks.append(records.append)
    weighted, _, _ = train_step(model, batch)
    torch.testing.assert_close(weighted["loss_cls"], plain["loss_cls"], rtol=1e-5, atol=0)
    weights = records[0].cls_weights
    assert weights[records[0].samples.pos_idxs].unique().numel() > 1


@pytest.mark.parametrize("kind", ["retinanet", "faster_rcnn"])
def test_carl_has_the_weight_of_the_box_loss(kind, build):
    node = "RETINANET" if kind == "retinanet" else "ROI_BOX_HEAD"
    once, tenfold = (
        train_step(
            build(
                small_config(
                    kind,
                    *("MODEL.CARL.ENABLED", True),
                    *(f"MODEL.{node}.BBOX_REG_LOSS_WEIGHT", weight),
                )
            ),
            make_batch([3, 7]),
        )[0]
        for weight in (1.0, 10.0)
    )
    for name in ("loss_box_reg", "loss_carl"):
        torch.testing.assert_close(tenfold[name], 10 * once[name])
    torch.testing.assert_close(tenfold["loss_cls"], once["loss_cls"])


@pytest.mark.parametrize("kind", ["retinanet", "faster_rcnn"])
def test_carl_teaches_the_classifier_by_the_boxes(kind, build):
    cfg = small_config(kind, "MODEL.CARL.ENABLED", True)
    model = build(cfg)
    model.train()
    with EventStorage():
        losses = model(make_batch([3, 7]))
    plain, _, _ = train_step(build(small_config(kind)), make_batch([3, 7]))
    assert losses.keys() == plain.keys() | {"loss_carl"}
    losses["loss_carl"].backward()
    layer = model.head.cls_score if kind == "retinanet" else model.roi_heads.box_predictor.cls_score
    assert layer.weight.grad.any()


def test_guided_scale_brings_classification_to_the_value_of_the_boxes(build):
    keys = [f"MODEL.SAMPLER.{kind}.NAME" for kind in ("POSITIVE", "NEGATIVE")]
    keys = [x for key in keys for x in (key, "all")] + ["MODEL.CLS_LOSS.GUIDED_SCALE", True]
    losses, gradients, _ = train_step(build(small_config("faster_rcnn", *keys)), make_batch([3, 7]))
    torch.testing.assert_close(losses["loss_cls"], losses["loss_box_reg"])
    assert gradients["roi_heads.box_predictor.cls_score.weight"].any()


@pytest.mark.parametrize("logit", [87.0, 200.0])
def test_guided_scale_of_perfect_scores_is_finite(logit):
    pred_logits = torch.tensor([[logit], [-logit]], requires_grad=True)
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    deltas = torch.full((2, 4), 5.0)
    candidates = make_candidates(
        torch.tensor([0, 1]),
        torch.tensor([0, -1]),
        num_classes=1,
        boxes=boxes.expand(2, 4),
        gt_boxes=boxes,
    )
    samples = make_samples(candidates, pred_logits, deltas, Box2BoxTransform((1.0, 1.0, 1.0, 1.0)))
    criterion = PointwiseCriterion(
        cls_loss=SampleLoss(sigmoid_cross_entropy_loss),
        box_loss=BoxLoss(smooth_l1_loss),
        guided_scale=True,
    )
    losses, _ = criterion(samples, 1.0)
    losses["loss_cls"].backward()
    assert losses["loss_cls"].isfinite()
    assert pred_logits.grad.isfinite().all()


def test_soft_sampling_lowers_far_negatives_only(build):
    model = build(small_config("retinanet", "MODEL.WEIGHTING.NAMES", ["soft_sampling"]))
    records = []
    model.learner.record_sinks.append(records.append)
    train_step(model, make_batch([3, 7]))
    (record,) = records
    is_far = (record.samples.gt_labels == 5) & (record.samples.ious == 0)
    torch.testing.assert_close(record.cls_weights[is_far].unique(), torch.tensor([0.25]))
    assert (record.cls_weights[record.samples.pos_idxs] == 1).all()


LIBRA = [
    *("MODEL.SAMPLER.POSITIVE.NAME", "instance_balanced"),
    *("MODEL.SAMPLER.NEGATIVE.NAME", "iou_balanced"),
    *("MODEL.RPN_SAMPLER.MAX_NEG_POS_RATIO", 5.0),
]
METHODS = {
    "ohem": OHEM,
    "ohem nms": [*OHEM, "MODEL.SAMPLER.OHEM.NMS_THRESH", 0.7],
    "libra": LIBRA,
    "prime": [*PISA, "MODEL.SAMPLER.POSITIVE.NAME", "iou_hlr"],
    "all": ["MODEL.SAMPLER.POSITIVE.NAME", "all", "MODEL.SAMPLER.NEGATIVE.NAME", "all"],
}


@pytest.mark.parametrize("keys", METHODS.values(), ids=METHODS.keys())
@pytest.mark.parametrize("num_boxes", [[30, 0], [0, 0]], ids=["crowded and empty", "no objects"])
def test_mask_rcnn_trains_with_every_sampler_under_autocast(keys, num_boxes, build):
    model = build(small_config("mask_rcnn", *keys))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses, gradients, _ = train_step(model, make_batch(num_boxes))
    assert "loss_mask" in losses
    assert all(loss.isfinite() for loss in losses.values())
    assert all(grad is not None and grad.isfinite().all() for grad in gradients.values())


def test_negatives_of_the_rpn_are_limited_by_the_positives(build):
    model = build(small_config("faster_rcnn", "MODEL.RPN_SAMPLER.MAX_NEG_POS_RATIO", 2.0))
    records = []
    model.proposal_generator.learner.record_sinks.append(records.append)
    train_step(model, make_batch([3, 0]))
    counts = [
        (int((labels == 0).sum()), int((labels == 1).sum()))
        for labels in per_image(records[0].samples.gt_labels, [*records[0].samples.num_per_image])
    ]
    assert counts == [(counts[0][0], 2 * counts[0][0]), (0, 2)]


@pytest.mark.parametrize("kind", ["retinanet", "faster_rcnn"])
def test_what_was_chosen_is_logged_beside_what_was_available(kind, build):
    keys = OHEM if kind == "faster_rcnn" else OHEM[2:]
    model = build(small_config(kind, *keys)).train()
    part = "retinanet" if kind == "retinanet" else "roi_head"
    owner = model if kind == "retinanet" else model.roi_heads
    seen = spy(owner)
    for iteration in (18, 19):
        with EventStorage(iteration) as storage:
            model(make_batch([3, 7]))
            scalars = {name: value for name, (value, _) in storage.latest().items()}
        assert (f"{part}/neg_chosen_iou" in scalars) == (iteration == 19)
    candidates, choice = seen[-1]
    chosen = candidates.take(choice)
    for name, group in (("available", candidates), ("chosen", chosen)):
        is_negative = group.gt_labels == 5
        assert scalars[f"{part}/neg_{name}_count"] == is_negative.sum() / 2
        expected = group.ious[is_negative].mean().item()
        assert scalars[f"{part}/neg_{name}_iou"] == pytest.approx(expected)
    assert scalars[f"{part}/neg_chosen_loss"] > scalars[f"{part}/neg_available_loss"]
    if kind == "faster_rcnn":
        assert scalars["rpn/pos_chosen_count"] > 0


def test_candidates_reach_samplers_without_predictions_unless_they_ask(build):
    model = build(small_config("faster_rcnn"))
    seen = spy(model.roi_heads)
    train_step(model, make_batch([3, 0]))
    assert isinstance(seen[0][0], Candidates)
    assert seen[0][0].outputs is None
