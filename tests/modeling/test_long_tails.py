"""Losses for long tails by key: their values, the columns of logits, and their state."""

import copy
from dataclasses import replace

import pytest
import torch
from detectron2.utils.events import EventStorage

from imbdet import losses
from imbdet.errors import UserError
from imbdet.learning import learners_of
from imbdet.modeling import build_model
from tests.messages import error_of
from tests.modeling.conftest import FREQUENCIES, NUM_CLASSES, make_batch, small_config, train_step

# Numbers of columns of logits of the layer beside those of the classes.
COLUMNS = {
    **{"eql": 1, "federated": 1, "efl": 1, "eqfl": 1},
    **{"ecm": 1, "eqlv2": 1, "logit_adjustment": 1, "equilibrium": 1, "seesaw": 2, "bags": 6},
}
SIGMOID_LOSSES = ["eql", "federated", "efl", "eqfl"]
DETECTORS = [
    *(("retinanet", name) for name in SIGMOID_LOSSES),
    *(("faster_rcnn", name) for name in COLUMNS),
    *(("cascade", name) for name in ("efl", "eqlv2", "bags")),
]


def config(kind, name, *keys):
    return small_config(kind, "MODEL.CLS_LOSS.NAME", name, *keys)


def predictors_of(model):
    predictors = model.roi_heads.box_predictor
    return predictors if isinstance(predictors, torch.nn.ModuleList) else [predictors]


@pytest.mark.parametrize(("kind", "name"), DETECTORS)
def test_every_loss_trains_and_detects(kind, name, build):
    model = build(config(kind, name))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    for batch in (make_batch([3, 4]), make_batch([0, 0])):
        found, gradients, _ = train_step(model, batch)
        optimizer.step()
        assert all(loss.isfinite() for loss in found.values())
        assert all(grad is not None and grad.isfinite().all() for grad in gradients.values())
    if kind != "retinanet":
        for predictor in predictors_of(model):
            assert predictor.cls_score.out_features == NUM_CLASSES + COLUMNS[name]
    with torch.no_grad():
        (found,) = model.eval()(make_batch([3]))
    scores = found["instances"].scores
    assert len(scores) > 0
    assert ((scores >= 0) & (scores <= 1)).all()


def expected_losses(name, samples, generator):
    """(M,) losses of new RoI heads, by the functions of the losses instead of keys."""
    logits, labels = samples.pred_logits, samples.gt_labels
    images, instances = FREQUENCIES.images, FREQUENCIES.instances
    quality = samples.pos_quality
    drawn = {"generator": generator}
    groups = losses.BalancedGroups(instances)
    return {
        "eql": lambda: losses.equalization_loss(logits, labels, images / 1000),
        "federated": lambda: losses.federated_loss(
            logits, labels, losses.draw_federated_classes(labels, images**0.5, **drawn)
        ),
        "ecm": lambda: losses.effective_class_margin_loss(logits, labels, images),
        "logit_adjustment": lambda: losses.frequency_adjusted_loss(logits, labels, instances),
        "bags": lambda: losses.balanced_group_loss(
            logits, labels, groups, losses.draw_group_samples(labels, groups, **drawn)
        ),
        "equilibrium": lambda: losses.EquilibriumLoss(NUM_CLASSES)(
            logits, labels, gt_idxs=samples.gt_idxs
        ),
        "seesaw": lambda: losses.SeesawLoss(NUM_CLASSES)(logits, labels),
        "eqlv2": lambda: losses.EQLv2Loss(NUM_CLASSES)(logits, labels),
        "efl": lambda: losses.EqualizedFocalLoss(NUM_CLASSES)(logits, labels),
        "eqfl": lambda: losses.EqualizedQualityFocalLoss(NUM_CLASSES)(logits, labels, quality),
    }[name]()


def pay_and_look_at_logits(model, batch):
    """The record of a step of the RoI heads, its losses, and the logits with their gradient."""
    learner, kept = learners_of(model.roi_heads)[0], []
    records = []
    learner.record_sinks.append(records.append)
    layer = predictors_of(model)[0].cls_score

    def keep(layer, inputs, logits):
        logits.retain_grad()
        kept.append(logits)

    with EventStorage(), layer.register_forward_hook(keep):
        found = model.train()(copy.deepcopy(batch))
        found["loss_cls"].backward()
    return records[-1], found, kept[-1]


@pytest.mark.parametrize("name", COLUMNS)
def test_roi_heads_pay_the_loss_by_its_published_normalizer(name, build):
    model = build(config("faster_rcnn", name))
    draws = predictors_of(model)[0].criterion.cls_loss.draws
    generator = draws and copy.deepcopy(draws).next(torch.device("cpu"))
    record, found, logits = pay_and_look_at_logits(model, make_batch([3, 4]))
    own = record.samples.pred_logits.clone().requires_grad_()
    samples = replace(record.samples, outputs=replace(record.samples.outputs, logits=own))
    expected = expected_losses(name, samples, generator)
    torch.testing.assert_close(record.cls_losses, expected.detach())
    loss = expected.sum() if name == "bags" else expected.sum() / len(samples)
    torch.testing.assert_close(found["loss_cls"].detach(), loss.detach())
    loss.backward()
    torch.testing.assert_close(logits.grad[:, : own.shape[1]], own.grad)
    assert not logits.grad[:, own.shape[1] :].any()


@pytest.mark.parametrize("kind", ["retinanet", "faster_rcnn"])
def test_equalized_focal_loss_collects_gradients_of_the_divided_loss(kind, build):
    model = build(config(kind, "efl"))
    site = model if kind == "retinanet" else model.roi_heads.box_predictor
    records = []
    learners_of(model)[-1].record_sinks.append(records.append)
    train_step(model, make_batch([3, 4]))
    samples, module = records[0].samples, site.criterion.cls_loss.loss
    plain = losses.EqualizedFocalLoss(NUM_CLASSES)
    plain(samples.pred_logits, samples.gt_labels)
    normalizer = model.loss_normalizer if kind == "retinanet" else len(samples)
    torch.testing.assert_close(module.neg_grads, plain.neg_grads / normalizer)


def state_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_state_goes_on_and_detects_as_the_model(name, build):
    batch = make_batch([3, 4])
    model = build(config("faster_rcnn", name))
    train_step(model, batch)
    state = state_of(model)
    resumed = build_model(config("faster_rcnn", name))  # it has other weights, and no frequencies
    resumed.load_state_dict(state)
    expected, found = (train_step(each, batch)[0] for each in (model, resumed))
    assert found == expected
    kept = {key for key, value in state_of(model).items() if not value.equal(state[key])}
    assert (kept > set()) == (name not in ("eql", "ecm", "logit_adjustment"))
    for each in (model, resumed):
        each.load_state_dict(state)
        each.eval()
    with torch.no_grad():
        detections = [each(batch)[0]["instances"] for each in (model, resumed)]
    assert detections[0].scores.equal(detections[1].scores)


@pytest.mark.parametrize("name", ["seesaw", "eqlv2", "bags", "federated"])
def test_looking_at_losses_changes_neither_statistics_nor_random_numbers(name, build):
    keys = [x for kind in ("POSITIVE", "NEGATIVE") for x in (f"MODEL.SAMPLER.{kind}.NAME", "ohem")]
    model = build(config("faster_rcnn", name, *keys))
    criterion = model.roi_heads.box_predictor.criterion
    looked = []
    sample_losses = criterion.sample_losses

    def look_twice(samples):
        before, random = state_of(criterion), torch.get_rng_state()
        values = sample_losses(samples)
        assert sample_losses(samples).equal(values)
        assert all(value.equal(before[key]) for key, value in criterion.state_dict().items())
        assert torch.get_rng_state().equal(random)
        looked.append(values)
        return values

    criterion.sample_losses = look_twice
    train_step(model, make_batch([3, 4]))
    assert len(looked) == 1


def test_a_training_without_frequencies_is_refused_in_a_sentence():
    for name in ("eql", "federated", "ecm", "bags", "logit_adjustment"):
        message = error_of(train_step, build_model(config("faster_rcnn", name)), make_batch([3]))
        assert "the detector does not know: call give_class_frequencies" in message


@pytest.mark.parametrize(
    ("kind", "keys", "message"),
    [
        (
            "retinanet",
            ["MODEL.CLS_LOSS.NAME", "seesaw"],
            "MODEL.CLS_LOSS.NAME is 'seesaw', whose scores are made with softmax and objectness, "
            "but those of ImbRetinaNet are made with sigmoid.",
        ),
        (
            "faster_rcnn",
            ["MODEL.RPN_LOSS.CLS.NAME", "efl"],
            "MODEL.RPN_LOSS.CLS.NAME is 'efl', which treats classes by how frequent they are, but "
            "ImbRPN only tells objects from background",
        ),
        (
            "faster_rcnn",
            ["MODEL.CLS_LOSS.NAME", "bags", "MODEL.ROI_BOX_HEAD.PRIOR_PROB", 0.01],
            "MODEL.ROI_BOX_HEAD.PRIOR_PROB is 0.01, but only the scores of sigmoid losses",
        ),
        (
            "faster_rcnn",
            ["MODEL.CLS_LOSS.NAME", "bags", "MODEL.CLS_LOSS.BAGS.BOUNDS", (0, 10)],
            "MODEL.CLS_LOSS.BAGS.BOUNDS is (0, 10): it must be at least 1.",
        ),
        (
            "faster_rcnn",
            ["MODEL.CLS_LOSS.NAME", "bags", "MODEL.CLS_LOSS.BAGS.BOUNDS", (100, 10)],
            "bounds must ascend, not (100, 10)",
        ),
        (
            "faster_rcnn",
            ["MODEL.CLS_LOSS.NAME", "seesaw", "MODEL.ROI_BOX_HEAD.USE_FED_LOSS", True],
            "MODEL.ROI_BOX_HEAD.USE_FED_LOSS is True, which chooses 'federated', but "
            "MODEL.CLS_LOSS.NAME is 'seesaw': set only one of them.",
        ),
    ],
)
def test_what_has_no_meaning_is_refused(kind, keys, message, build):
    with pytest.raises(UserError) as error:
        build(small_config(kind, *keys))
    assert message in str(error.value)


@pytest.mark.parametrize("kind", ["faster_rcnn", "cascade"])
def test_detectron2s_switches_choose_our_losses(kind, build, monkeypatch):
    head = "MODEL.ROI_BOX_HEAD"
    federated = [f"{head}.USE_SIGMOID_CE", True, f"{head}.USE_FED_LOSS", True]
    options = [f"{head}.FED_LOSS_NUM_CLASSES", 3, f"{head}.FED_LOSS_FREQ_WEIGHT_POWER", 1.0]
    model = build(small_config(kind, *federated, *options))
    for predictor in predictors_of(model):
        loss = predictor.criterion.cls_loss.loss.loss
        assert loss.func is losses.drawn_federated_loss
        assert loss.keywords == {"num_classes": 3, "power": 1.0}
    model = build(small_config(kind, f"{head}.USE_SIGMOID_CE", True))
    by_name = build(config(kind, "sigmoid_cross_entropy"))
    batch = make_batch([3, 4])
    assert train_step(model, batch)[0] == train_step(by_name, batch)[0]


def test_a_stage_of_a_cascade_has_columns_of_its_own(build):
    stages = [{"CLS_LOSS": {"NAME": "seesaw"}}, {}, {"CLS_LOSS": {"NAME": "bags"}}]
    cfg = small_config("cascade")
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.STAGES = stages
    model = build(cfg)
    widths = [predictor.cls_score.out_features for predictor in predictors_of(model)]
    assert widths == [NUM_CLASSES + 2, NUM_CLASSES + 1, NUM_CLASSES + 6]
    with torch.no_grad():
        (found,) = model.eval()(make_batch([3]))
    assert len(found["instances"]) > 0
    found = train_step(model, make_batch([3, 4]))[0]
    assert all(loss.isfinite() for loss in found.values())
