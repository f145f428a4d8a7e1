"""Effects and refusals of the keys of samplers and losses."""

import copy
from types import SimpleNamespace

import pytest
import torch
from detectron2.utils.events import EventStorage

from imbdet import losses
from imbdet.errors import UserError
from imbdet.learning import learners_of
from imbdet.weighting import Weights
from tests.messages import assert_says
from tests.modeling.conftest import make_batch, small_config, train_step

RANKING_LOSSES = ["ap", "auc", "alrp", "rank_sort"]
SIGMOID_LOSSES = [
    *("sigmoid_cross_entropy", "focal", "quality_focal", "varifocal", "ghm_c", "dr"),
    *RANKING_LOSSES,
]
CLS_LOSSES = {
    "retinanet": SIGMOID_LOSSES,
    "faster_rcnn": ["softmax_cross_entropy", *SIGMOID_LOSSES],
}
BOX_LOSSES = ["l1", "smooth_l1", "giou", "diou", "ciou"]


@pytest.mark.parametrize(
    ("kind", "cls_loss"), [(kind, name) for kind, names in CLS_LOSSES.items() for name in names]
)
@pytest.mark.parametrize("num_boxes", [[3, 4], [0, 0]], ids=["objects", "no objects"])
def test_every_classification_loss_trains(kind, cls_loss, num_boxes, build):
    keys = ["MODEL.CLS_LOSS.NAME", cls_loss]
    if cls_loss in ("alrp", "rank_sort"):
        keys += ["MODEL.BOX_LOSS.NAME", "giou"]
    model = build(small_config(kind, *keys))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    batch, history = make_batch(num_boxes), []
    for _ in range(5):
        losses, gradients, _ = train_step(model, batch)
        optimizer.step()
        assert all(loss.isfinite() for loss in losses.values())
        assert all(grad is not None and grad.isfinite().all() for grad in gradients.values())
        history.append(losses["loss_cls"])
    if cls_loss in RANKING_LOSSES and not any(num_boxes):
        assert history == [0] * 5  # nothing to rank
    else:
        # The other losses push the background down even without objects.
        assert history[-1] < history[0]


@pytest.mark.parametrize("cls_loss", SIGMOID_LOSSES)
@pytest.mark.parametrize("num_boxes", [[3, 4], [0, 0]], ids=["objects", "no objects"])
def test_the_rpn_trains_with_the_losses_of_the_detector(cls_loss, num_boxes, build):
    keys = [f"MODEL.RPN_SAMPLER.{kind}.NAME" for kind in ("POSITIVE", "NEGATIVE")]
    opts = [x for key in keys for x in (key, "all")]
    opts += ["MODEL.RPN_LOSS.CLS.NAME", cls_loss, "MODEL.RPN_LOSS.BOX.NAME", "giou"]
    losses, gradients, _ = train_step(
        build(small_config("faster_rcnn", *opts)), make_batch(num_boxes)
    )
    assert {"loss_rpn_cls", "loss_rpn_loc"} < losses.keys()
    assert all(loss.isfinite() for loss in losses.values())
    assert gradients["proposal_generator.rpn_head.objectness_logits.weight"].isfinite().all()


def test_rank_sort_brings_the_box_loss_to_the_value_of_the_ranking(build):
    keys = ["MODEL.CLS_LOSS.NAME", "rank_sort", "MODEL.BOX_LOSS.NAME", "giou"]
    losses, _, _ = train_step(build(small_config("retinanet", *keys)), make_batch([3, 4]))
    assert losses["loss_cls"] > 0
    torch.testing.assert_close(losses["loss_box_reg"], losses["loss_cls"])


def test_alrp_balances_its_parts_by_running_means(build):
    keys = ["MODEL.CLS_LOSS.NAME", "alrp", "MODEL.BOX_LOSS.NAME", "giou"]
    model = build(small_config("retinanet", *keys, "MODEL.CLS_LOSS.ALRP.MOMENTUM", 0.0))
    assert model.criterion.balance == 50
    losses, _, _ = train_step(model, make_batch([3, 4]))
    # Without memory the weighted box part is the sum of the two parts.
    cls_part, box_part = model.criterion.running_parts
    torch.testing.assert_close(losses["loss_box_reg"], cls_part + box_part)
    before = model.criterion.running_parts
    train_step(model, make_batch([0, 0]))
    assert torch.equal(model.criterion.running_parts, before)
    assert "criterion.running_parts" in model.state_dict()


def test_the_first_balance_of_alrp_fades_as_fast_as_its_momentum(build):
    keys = ["MODEL.CLS_LOSS.NAME", "alrp", "MODEL.BOX_LOSS.NAME", "giou"]
    model = build(small_config("retinanet", *keys, "MODEL.CLS_LOSS.ALRP.MOMENTUM", 0.5))
    weighted, unweighted = [], []
    for _ in range(6):
        losses, _, _ = train_step(model, make_batch([3, 4]))
        weighted.append(model.criterion.balance)
        unweighted.append(losses["loss_box_reg"] / model.criterion.balance)
    cls_part, box_part = losses["loss_cls"], unweighted[0]
    torch.testing.assert_close(unweighted, [box_part] * 6)
    ratio = (cls_part + box_part) / box_part
    past = 0.5 ** torch.arange(1.0, 7)
    torch.testing.assert_close(torch.stack(weighted), past * 50 + (1 - past) * ratio)


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


@pytest.mark.parametrize("kind", ["retinanet", "faster_rcnn"])
@pytest.mark.parametrize("name", ["balanced_l1", "asl1", "ghm_r", "decayed_smooth_l1"])
def test_box_losses_that_detectron2_lacks_train(kind, name, build):
    losses, gradients, _ = train_step(
        build(small_config(kind, "MODEL.BOX_LOSS.NAME", name)), make_batch([3, 0])
    )
    assert losses["loss_box_reg"].isfinite()
    assert losses["loss_box_reg"] > 0
    name = "head.bbox_pred" if kind == "retinanet" else "roi_heads.box_predictor.bbox_pred"
    assert gradients[f"{name}.weight"].any()


def test_balanced_cross_entropy_weighs_positives_and_negatives(build):
    keys = ["MODEL.CLS_LOSS.NAME", "sigmoid_cross_entropy"]
    alpha = [*keys, "MODEL.CLS_LOSS.SIGMOID_CROSS_ENTROPY.ALPHA"]
    plain, only_positives, only_negatives = (
        train_step(build(small_config("retinanet", *opts)), make_batch([3, 4]))[0]["loss_cls"]
        for opts in (keys, [*alpha, 1.0], [*alpha, 0.0])
    )
    torch.testing.assert_close(only_positives + only_negatives, plain)
    assert 0 < only_positives < only_negatives


def test_decayed_smooth_l1_follows_the_iterations(build):
    keys = ["MODEL.BOX_LOSS.NAME", "decayed_smooth_l1"]
    node = "MODEL.BOX_LOSS.DECAYED_SMOOTH_L1"
    keys += [f"{node}.INITIAL_BETA", 0.5, f"{node}.DECAY", 0.1, f"{node}.PERIOD", 10]
    samples = SimpleNamespace(
        pred_deltas=torch.full((1, 4), 0.3), gt_deltas=torch.zeros(1, 4), weights=None
    )
    loss = build(small_config("retinanet", *keys, f"{node}.MIN_BETA", 0.0)).criterion.box_loss
    for iteration, beta in ((9, 0.5), (25, 0.3), (1000, 0.0)):
        with EventStorage(iteration):
            expected = 0.3**2 / (2 * beta) if beta > 0.3 else 0.3 - beta / 2
            assert loss(samples).item() == pytest.approx(4 * expected)


@pytest.mark.parametrize("kind", ["retinanet", "faster_rcnn"])
def test_ghm_brings_its_normalizer_and_keeps_its_counts(kind, build):
    keys = ["MODEL.CLS_LOSS.NAME", "ghm_c", "MODEL.BOX_LOSS.NAME", "ghm_r"]
    model = build(small_config(kind, *keys))
    site = model if kind == "retinanet" else model.roi_heads.box_predictor
    records = []
    learners_of(model)[-1].record_sinks.append(records.append)
    losses, _, _ = train_step(model, make_batch([3, 4]))
    torch.testing.assert_close(losses["loss_cls"], records[0].cls_losses.sum())
    torch.testing.assert_close(losses["loss_box_reg"], records[0].box_losses.sum())
    state = {name for name in model.state_dict() if name.endswith("loss.counts")}
    assert len(state) == 2
    counts = site.criterion.cls_loss.loss.counts.clone()
    assert counts.sum() > 0
    site.criterion.eval()
    train_mode, model.training = model.training, True
    with torch.no_grad():
        site.criterion.cls_loss.loss(torch.zeros(4, 5), torch.tensor([0, 1, 5, -1]))
    model.training = train_mode
    assert torch.equal(site.criterion.cls_loss.loss.counts, counts)


@pytest.mark.parametrize("kind", ["retinanet", "faster_rcnn"])
def test_ghm_by_level_is_a_loss_of_each_level(kind, build):
    cls_node, box_node = (
        ("MODEL.CLS_LOSS", "MODEL.BOX_LOSS")
        if kind == "retinanet"
        else ("MODEL.RPN_LOSS.CLS", "MODEL.RPN_LOSS.BOX")
    )
    keys = [f"{cls_node}.NAME", "ghm_c", f"{cls_node}.GHM_C.BY_LEVEL", True]
    keys += [f"{box_node}.NAME", "ghm_r", f"{box_node}.GHM_R.BY_LEVEL", True]
    model = build(small_config(kind, *keys))
    site = model if kind == "retinanet" else model.proposal_generator
    records = []
    site.learner.record_sinks.append(records.append)
    train_step(model, make_batch([3, 4]))
    (record,) = records
    levels = record.samples.candidates.levels.rows()
    assert sum(map(len, levels)) == len(record.samples)
    assert sum(len(rows) > 0 for rows in levels) > 1
    cls_loss, box_loss = losses.GHMCLoss(), losses.GHMRLoss()
    for rows in levels:
        expected = cls_loss(record.samples.pred_logits[rows], record.samples.gt_labels[rows])
        torch.testing.assert_close(record.cls_losses[rows], expected)
    positives = record.samples.positives
    for rows in positives.levels.rows():
        expected = box_loss(positives.pred_deltas[rows], positives.gt_deltas[rows])
        torch.testing.assert_close(record.box_losses[rows], expected)


def test_the_rpn_takes_the_mean_of_what_a_limit_of_negatives_leaves(build):
    batch, ratio = make_batch([1, 1]), ["MODEL.RPN_SAMPLER.MAX_NEG_POS_RATIO", 2.0]
    found, sizes = [], []
    for keys in ([], ratio):
        model = build(small_config("faster_rcnn", *keys))
        records = []
        model.proposal_generator.learner.record_sinks.append(records.append)
        found.append(train_step(model, batch)[0]["loss_rpn_cls"])
        sizes.append((records[0].cls_losses.sum(), int((records[0].samples.gt_labels >= 0).sum())))
    quota = 2 * model.proposal_generator.batch_size_per_image
    (total, _), (limited, num_samples) = sizes
    assert 0 < num_samples < quota
    torch.testing.assert_close(found[0], total / quota)
    torch.testing.assert_close(found[1], limited / num_samples)


def test_weight_of_the_box_loss_of_retinanet(build):
    batch = make_batch([3, 4])
    plain, doubled = (
        train_step(build(small_config("retinanet", *opts)), batch)[0]
        for opts in ([], ["MODEL.RETINANET.BBOX_REG_LOSS_WEIGHT", 2.0])
    )
    torch.testing.assert_close(doubled["loss_box_reg"], 2 * plain["loss_box_reg"])
    assert doubled["loss_cls"] == plain["loss_cls"]


def test_sigmoid_classifiers_start_at_their_prior(build):
    keys = ["MODEL.CLS_LOSS.NAME", "focal", "MODEL.ROI_BOX_HEAD.PRIOR_PROB", 0.01]
    model = build(small_config("faster_rcnn", *keys, "MODEL.RPN.PRIOR_PROB", 0.2))
    for layer, prior in (
        (model.roi_heads.box_predictor.cls_score, 0.01),
        (model.proposal_generator.rpn_head.objectness_logits, 0.2),
    ):
        torch.testing.assert_close(layer.bias.sigmoid(), torch.full_like(layer.bias, prior))


@pytest.mark.parametrize("kind", ["retinanet", "faster_rcnn"])
@pytest.mark.parametrize("name", ["dr", *RANKING_LOSSES])
def test_ranking_of_each_image_by_key(kind, name, build):
    keys = ["MODEL.CLS_LOSS.NAME", name, "MODEL.BOX_LOSS.NAME", "giou"]
    keys += ["MODEL.CLS_LOSS.SCOPE", "image"]
    model = build(small_config(kind, *keys))
    site = model if kind == "retinanet" else model.roi_heads.box_predictor
    seen = []

    def see(criterion, args):
        seen.append(args[0])

    site.criterion.register_forward_pre_hook(see)
    together, _, _ = train_step(model, make_batch([3, 4]))
    samples = seen[0]
    # Each image alone: everything else is ignored, which is the same in batch scope.
    alone = []
    for image in (0, 1):
        labels = samples.gt_labels.masked_fill(samples.image_idxs != image, -1)
        is_kept = samples.image_idxs[samples.pos_idxs] == image
        alone.append(DEFINITIONS[name](samples, labels, is_kept))
    torch.testing.assert_close(together["loss_cls"], torch.stack(alone).mean(), rtol=1e-4, atol=0)


DEFINITIONS = {
    "dr": lambda samples, labels, kept: losses.dr_loss(samples.pred_logits, labels),
    "ap": lambda samples, labels, kept: losses.ap_loss(samples.pred_logits, labels),
    "auc": lambda samples, labels, kept: losses.auc_loss(samples.pred_logits, labels),
    "alrp": lambda samples, labels, kept: losses.alrp_loss(
        samples.pred_logits, labels, torch.ones(int(kept.sum()))
    )[0],
    "rank_sort": lambda samples, labels, kept: sum(
        losses.rank_sort_loss(samples.pred_logits, labels, samples.positives.pred_ious[kept])
    ),
}


@pytest.mark.parametrize(
    ("kind", "part", "words"),
    [
        ("retinanet", "head.cls_score", ["ImbRetinaNet", "logits of p3", "logits of p7"]),
        ("retinanet", "head.bbox_pred", ["ImbRetinaNet", "box deltas of p3"]),
        ("faster_rcnn", "proposal_generator.rpn_head.objectness_logits", ["ImbRPN", "of p2"]),
        ("faster_rcnn", "roi_heads.box_predictor.cls_score", ["ImbROIHeads", "logits"]),
    ],
)
@pytest.mark.parametrize("name", ["focal", "ap"])
def test_losses_that_are_not_finite_are_traced(kind, part, words, name, build):
    model = build(small_config(kind, "MODEL.CLS_LOSS.NAME", name))
    torch.nn.init.constant_(model.get_submodule(part).bias, float("nan"))
    with pytest.raises(UserError, match="not finite in iteration 0") as error:
        train_step(model, make_batch([3, 4]))
    assert_says(str(error.value), *words, "SOLVER.BASE_LR")


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
    model.proposal_generator.learner.record_sinks.append(lambda record: records.update(rpn=record))
    model.roi_heads.learner.record_sinks.append(lambda record: records.update(roi=record))
    train_step(model, make_batch([3, 0]))
    # There are at most 50 proposals for an image, and the ground truth appended to the first.
    assert records["roi"].samples.num_per_image[0] > cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE
    assert records["rpn"].samples.num_per_image[1] > 10 * cfg.MODEL.RPN.BATCH_SIZE_PER_IMAGE


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
    records = []
    learners_of(model)[-1].record_sinks.append(records.append)
    losses, _, _ = train_step(model, make_batch([3, 0]))
    (record,) = records
    samples = record.samples
    normalizer = model.loss_normalizer if kind == "retinanet" else (samples.gt_labels >= 0).sum()
    torch.testing.assert_close(record.cls_losses.sum() / normalizer, losses["loss_cls"])
    torch.testing.assert_close(record.box_losses.sum() / normalizer, losses["loss_box_reg"])
    assert not record.cls_losses.requires_grad
    assert (samples.gt_idxs >= 0).nonzero().squeeze(1).tolist() == samples.pos_idxs.tolist()
    assert set(samples.gt_idxs[samples.pos_idxs].tolist()) == {0, 1, 2}
    assert ((samples.ious >= 0) & (samples.ious <= 1 + 1e-6)).all()
    assert (samples.ious[samples.num_per_image[0] :] == 0).all()  # the image without objects


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


def test_a_sampler_that_copies_nothing_works_in_the_roi_heads(build):
    from imbdet.samplers import sample_all

    model = build(small_config("faster_rcnn"))
    model.roi_heads.learner.sampler = sample_all
    with EventStorage():
        losses = model.train()(copy.deepcopy(make_batch([3, 0])))
    assert losses["loss_cls"].isfinite()
