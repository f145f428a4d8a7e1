"""Cascades whose stages have keys of their own; those of detectron2 are in test_equality.py."""

import copy

import pytest
import torch
from detectron2.utils.events import EventStorage

from imbdet.errors import UserError
from imbdet.learning import learners_of
from imbdet.methods import BOX_LOSSES, CLS_LOSSES
from imbdet.modeling import refuse_unread_keys
from imbdet.modeling.batch_matcher import BatchMatcher
from imbdet.modeling.sites import sites_of
from tests.messages import assert_says
from tests.modeling.conftest import make_batch, small_config, train_step

NODE = "MODEL.ROI_BOX_CASCADE_HEAD"
ALIKE = [f"{NODE}.STAGES", [{}, {}, {}]]


def cascade(*opts):
    return small_config("cascade_rcnn", *opts)


def stages_of(model):
    return [learner for learner in learners_of(model) if "stage" in learner.place.name]


def seen_by(model, batch):
    """The candidates of each stage, and the record of those that it chose."""
    available, chosen = [], []
    for learner in stages_of(model):
        learner.candidate_sink = available.append
        learner.record_sinks.append(chosen.append)
    train_step(model, batch)
    return available, [record.samples for record in chosen]


def test_only_the_first_stage_samples(build):
    available, chosen = seen_by(build(cascade()), make_batch([3, 5]))
    assert [len(samples) for samples in chosen] == [64] * 3
    # The first stage has the ground truth appended, the next ones have the boxes of its samples.
    assert [len(candidates) for candidates in available] == [2 * 50 + 8, 64, 64]
    for samples, iou in zip(chosen, (0.5, 0.6, 0.7), strict=True):
        assert torch.equal(samples.gt_labels != samples.num_classes, samples.candidates.ious >= iou)


def test_a_stage_that_samples_hands_its_samples_on(build):
    balanced = {"SAMPLER": {"MAX_NEG_POS_RATIO": 1.0}}
    model = build(cascade(f"{NODE}.STAGES", [{}, balanced, {}]))
    available, chosen = seen_by(model, make_batch([3, 5]))
    numbers = [(len(samples.pos_idxs), len(samples)) for samples in chosen]
    assert numbers[1][1] <= 2 * max(numbers[1][0], 2) < numbers[0][1]
    assert len(available[2]) == numbers[1][1]


def test_a_stage_has_keys_of_its_own(build):
    focal = {"CLS_LOSS": {"NAME": "focal", "FOCAL": {"GAMMA": 1.5}}, "BOX_LOSS": {"NAME": "giou"}}
    ohem = {"SAMPLER": {"NEGATIVE": {"NAME": "ohem"}}, "CARL": {"ENABLED": True}}
    cfg = cascade(f"{NODE}.STAGES", [{}, focal, ohem])
    refuse_unread_keys(cfg)
    model = build(cfg)
    first, second, third = stages_of(model)
    assert (first.criterion.classifier.num_extra, second.criterion.classifier.num_extra) == (1, 0)
    assert "losses" in third.sampler.needs
    losses, gradients, _ = train_step(model, make_batch([3, 5]))
    assert {name for name in losses if "carl" in name} == {"loss_carl_stage2"}
    assert all(loss.isfinite() for loss in losses.values())
    assert all(grad is not None and grad.isfinite().all() for grad in gradients.values())
    with torch.no_grad():
        (found,) = model.eval()(make_batch([2]))
    assert len(found["instances"]) > 0


def test_loss_weights_are_mmdetections(build):
    losses, gradients = {}, {}
    for name, weights in {"mean": [], "sum": [1.0] * 3, "weighted": [1.0, 0.5, 0.25]}.items():
        model = build(cascade(f"{NODE}.LOSS_WEIGHTS", weights)).train()
        torch.manual_seed(0)
        with EventStorage():
            found = model(copy.deepcopy(make_batch([3, 5])))
            sum(loss for key, loss in found.items() if "stage" in key).backward()
        losses[name] = {key: loss.item() for key, loss in found.items()}
        gradients[name] = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
    assert losses["sum"] == losses["mean"]
    for key, loss in losses["weighted"].items():
        factor = {"1": 0.5, "2": 0.25}.get(key[-1], 1.0)
        assert loss == pytest.approx(factor * losses["sum"][key])
    for key, gradient in gradients["sum"].items():
        # The features get the mean over the stages, the heads the whole.
        factor = 1 if key.startswith("roi_heads") else 3
        torch.testing.assert_close(factor * gradients["mean"][key], gradient, msg=key)


@pytest.mark.parametrize("name", [name for name, _ in CLS_LOSSES])
def test_every_classification_loss_trains_in_all_stages(name, build):
    keys = ["MODEL.CLS_LOSS.NAME", name]
    if name in ("alrp", "rank_sort"):
        keys += ["MODEL.BOX_LOSS.NAME", "giou"]
    model = build(cascade(*keys))
    for num_boxes in ([3, 4], [0, 0]):
        losses, gradients, _ = train_step(model, make_batch(num_boxes))
        assert all(loss.isfinite() for loss in losses.values())
        assert all(grad is not None and grad.isfinite().all() for grad in gradients.values())
    running = [learner.criterion.state_dict() for learner in stages_of(model)]
    assert len({len(state) for state in running}) == 1  # each stage has its own


@pytest.mark.parametrize("name", [name for name, _ in BOX_LOSSES])
def test_every_box_loss_trains_in_all_stages(name, build):
    losses, _, _ = train_step(build(cascade("MODEL.BOX_LOSS.NAME", name)), make_batch([3, 4]))
    assert all(loss.isfinite() for loss in losses.values())


PISA = [
    *("MODEL.SAMPLER.NEGATIVE.NAME", "score_hlr", "MODEL.CARL.ENABLED", True),
    *("MODEL.WEIGHTING.NAMES", ["isr_p", "isr_n"]),
]


def test_pisa_trains_in_all_stages(build):
    losses, _, _ = train_step(build(cascade(*PISA, *ALIKE)), make_batch([3, 4]))
    assert {f"loss_carl_stage{k}" for k in range(3)} < losses.keys()
    assert all(loss.isfinite() for loss in losses.values())


def test_assigners_take_the_iou_of_their_stage(build):
    cfg = cascade("MODEL.ASSIGNER.NAME", "max_iou")
    model = build(cfg)
    assert not any(isinstance(own.assigner, BatchMatcher) for own in stages_of(model))
    losses, expected = (train_step(m, make_batch([3, 4]))[0] for m in (model, build(cascade())))
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name])


def test_sites_are_the_rpn_and_the_stages():
    names = [site.place.name for _, site in sites_of(cascade())]
    assert names == ["roi_heads_stage0", "roi_heads_stage1", "roi_heads_stage2", "rpn"]


@pytest.mark.parametrize(
    ("opts", "words"),
    [
        (PISA, ["Stage 1", "takes all proposals", f"{NODE}.STAGES is empty", "'isr_n'"]),
        (["MODEL.CLS_LOSS.NAME", "focl"], ["Stage 0", "'focl'", "'focal'"]),
        ([f"{NODE}.STAGES", [{}]], [f"{NODE}.STAGES is of 1 stages", f"{NODE}.IOUS of 3"]),
        ([f"{NODE}.LOSS_WEIGHTS", [1.0, 1.0]], [f"{NODE}.LOSS_WEIGHTS is of 2 stages"]),
        ([f"{NODE}.STAGES", [1, 2, 3]], ["must be a list of groups of keys"]),
        ([f"{NODE}.IOUS", (0.5, 0.6)], [f"{NODE}.BBOX_REG_WEIGHTS are of 3 stages", "IOUS of 2"]),
        ([f"{NODE}.IOUS", (0.4, 0.5, 0.6)], ["IOUS is [0.4, 0.5, 0.6]", "IOU_THRESHOLDS, [0.5]"]),
        (["MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", False], ["CLS_AGNOSTIC_BBOX_REG is False"]),
        (["MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES", True], ["TRAIN_ON_PRED_BOXES has no effect"]),
        (
            [f"{NODE}.STAGES", [{}, {"CLS_LOSS": {"NAMES": "ap"}}, {}]],
            ["Unknown key 'MODEL.CLS_LOSS.NAMES'", f"in {NODE}.STAGES[1]"],
        ),
        (
            [f"{NODE}.STAGES", [{}, {}, {"RPN": {"PRIOR_PROB": 0.1}}]],
            ["'MODEL.RPN.PRIOR_PROB'", "STAGES[2]", "its groups are ASSIGNER, SAMPLER"],
        ),
        (
            [f"{NODE}.STAGES", [{}, {"CLS_LOSS": {"NAME": "ap"}, "CARL": {"ENABLED": True}}, {}]],
            ["Stage 1 of the cascade: MODEL.CARL.ENABLED"],
        ),
        (
            [f"{NODE}.STAGES", [{"SAMPLER": {"MAX_NEG_POS_RATIO": -1.0}}, {}, {}]],
            ["Stage 0", "MODEL.SAMPLER.MAX_NEG_POS_RATIO"],
        ),
    ],
)
def test_refusals(opts, words, build):
    with pytest.raises(UserError) as error:
        build(cascade(*opts))
    assert_says(str(error.value), *words)


@pytest.mark.parametrize(
    ("opts", "words"),
    [
        (["MODEL.CLS_LOSS.AP.DELTA", 0.5], ["MODEL.CLS_LOSS.AP is set", "only 'ap' reads it"]),
        (
            [f"{NODE}.STAGES", [{}, {"CLS_LOSS": {"AP": {"DELTA": 0.5}}}, {}]],
            ["Stage 1 of the cascade: MODEL.CLS_LOSS.AP.DELTA is set", "only 'ap' reads it"],
        ),
        (
            [*("MODEL.ROI_HEADS.NAME", "ImbROIHeads"), f"{NODE}.LOSS_WEIGHTS", [1.0, 1.0, 1.0]],
            [f"{NODE}.LOSS_WEIGHTS is set, but only ImbCascadeROIHeads would read it"],
        ),
    ],
)
def test_keys_that_no_stage_reads(opts, words):
    with pytest.raises(UserError) as error:
        refuse_unread_keys(cascade(*opts))
    assert_says(str(error.value), *words)


def test_a_key_that_one_stage_reads_is_fine():
    stages = [{}, {}, {"CLS_LOSS": {"NAME": "ap"}}]
    refuse_unread_keys(cascade("MODEL.CLS_LOSS.AP.DELTA", 0.5, f"{NODE}.STAGES", stages))
