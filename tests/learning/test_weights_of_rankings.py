"""Weights of the data in criteria of a ranking."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from imbdet.learning.criteria import ALRPCriterion, BoxLoss, RankingCriterion, RankSortCriterion
from imbdet.losses import alrp_loss, ap_loss, auc_loss, dr_loss, giou_loss, rank_sort_loss
from imbdet.structures import Samples
from tests.learning.test_learner import learner, problem
from tests.learning.test_weights import DEEP, graded, of, pay

BOXES = BoxLoss(giou_loss, compares="boxes")
CRITERIA = {
    **{
        loss.__name__: partial(RankingCriterion, cls_loss=loss, box_loss=BOXES)
        for loss in (ap_loss, auc_loss, dr_loss)
    },
    "alrp_loss": partial(ALRPCriterion, box_loss=BOXES),
    "rank_sort_loss": partial(RankSortCriterion, box_loss=BOXES),
}
ALL_CRITERIA = pytest.mark.parametrize("criterion", CRITERIA.values(), ids=CRITERIA.keys())
SCOPES = pytest.mark.parametrize("scope", ["batch", "image"])
SOME = {"weights": [2.0, 0.5, 3.0], "image_weights": [1.0, 0.25]}


@ALL_CRITERIA
@SCOPES
def test_weights_of_1_change_nothing(criterion, scope):
    plain = pay(problem()[1], what=criterion(scope=scope))
    ones = of(weights=[1.0] * 3, image_weights=[1.0] * 2)
    assert plain[1][0].any()
    torch.testing.assert_close(pay(ones, what=criterion(scope=scope)), plain, rtol=0, atol=0)


@ALL_CRITERIA
@SCOPES
def test_a_common_factor_changes_nothing(criterion, scope):
    some = of(**SOME)
    scaled = replace(some, image_weights=100 * some.image_weights)
    expected = pay(some, what=criterion(scope=scope))
    torch.testing.assert_close(pay(scaled, what=criterion(scope=scope)), expected)
    differing = pay(problem()[1], what=criterion(scope=scope))
    assert not expected[1][0].allclose(differing[1][0])


@ALL_CRITERIA
@SCOPES
def test_weight_0_is_the_absence_of_the_samples(criterion, scope):
    is_absent = DEEP(*problem()[:2]).gt_idxs == 0

    def without(priors, targets):
        assignment = graded(priors, targets)
        return replace(assignment, gt_idxs=assignment.gt_idxs.masked_fill(is_absent, -2))

    weighted = pay(of(weights=[0.0, 1.0, 1.0]), what=criterion(scope=scope))
    expected = pay(problem()[1], what=criterion(scope=scope), assigner=without)
    torch.testing.assert_close(weighted, expected)
    assert not weighted[1][0][is_absent].any()


def weighted_samples():
    priors, _, outputs = problem()
    place = learner(assigner=graded, criterion=CRITERIA["ap_loss"]())
    chosen = place.choose(priors, of(**SOME), outputs)
    assert chosen.weights[chosen.pos_idxs].unique().numel() > 1
    return Samples(chosen, outputs.take(chosen.rows))


@pytest.mark.parametrize("loss", [ap_loss, auc_loss, dr_loss])
def test_a_ranking_beside_a_box_loss(loss):
    samples = weighted_samples()
    losses, record = CRITERIA[loss.__name__]()(samples, 2.0)
    expected = loss(samples.pred_logits, samples.gt_labels, weights=samples.weights)
    torch.testing.assert_close(losses["loss_cls"], expected)
    box_loss = (samples.pos_weights * record.box_losses).sum() / 2
    torch.testing.assert_close(losses["loss_box_reg"], box_loss)


def test_alrp_weighs_both_parts():
    samples = weighted_samples()
    criterion = CRITERIA["alrp_loss"]()
    losses, record = criterion(samples, 2.0)
    expected = alrp_loss(
        samples.pred_logits, samples.gt_labels, record.box_losses, weights=samples.weights
    )
    torch.testing.assert_close(losses["loss_cls"], expected[0])
    torch.testing.assert_close(losses["loss_box_reg"], criterion.balance * expected[1])


def test_rank_and_sort_weighs_the_boxes_by_scores_and_weights():
    samples = weighted_samples()
    losses, _ = CRITERIA["rank_sort_loss"]()(samples, 2.0)
    parts = rank_sort_loss(
        samples.pred_logits,
        samples.gt_labels,
        samples.positives.pred_ious,
        weights=samples.weights,
    )
    torch.testing.assert_close(losses["loss_cls"], sum(parts))
    torch.testing.assert_close(losses["loss_box_reg"], sum(parts))
    # The factors show in the gradient only.
    scores = samples.pred_logits[samples.pos_idxs].detach().sigmoid().amax(dim=1)
    box_losses = giou_loss(samples.positives.pred_boxes, samples.positives.gt_boxes)
    mean = (scores * samples.pos_weights * box_losses).sum()
    expected = sum(parts).detach() * mean / mean.detach()
    grads = (
        torch.autograd.grad(loss, samples.outputs.deltas, retain_graph=True)[0]
        for loss in (losses["loss_box_reg"], expected)
    )
    torch.testing.assert_close(*grads)
