"""Weights of the data: sums of w l over a normalizer that counts the weights of samples."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.nn import functional as F

from imbdet.assigners import max_iou
from imbdet.learning.criteria import (
    BoxLoss,
    DistributionLoss,
    PointwiseCriterion,
    QualityLoss,
    SampleLoss,
)
from imbdet.learning.normalizers import Quota, num_positives, num_samples, sum_of_quality
from imbdet.learning.qualities import QUALITIES
from imbdet.losses import (
    GHMCLoss,
    GHMRLoss,
    focal_loss,
    smooth_l1_loss,
    softmax_cross_entropy_loss,
)
from imbdet.ops.distances import DistanceTransform
from imbdet.structures import Samples
from imbdet.structures.classifiers import SOFTMAX
from imbdet.weighting import ImportancePositives, carl_weights, gt_class_scores
from tests.learning.test_learner import NUM_CLASSES, learner, problem

NORMALIZERS = [num_samples, num_positives, Quota(16), sum_of_quality]
NAMES = ["samples", "positives", "quota", "quality"]
DEEP = partial(max_iou, positive_from=0.3, negative_below=0.3)


def graded(priors, targets):
    """An assigner of positives whose quality is their IoU."""
    assignment = DEEP(priors, targets)
    return replace(assignment, quality=assignment.ious)


def criterion(**options):
    return PointwiseCriterion(
        cls_loss=SampleLoss(focal_loss), box_loss=BoxLoss(smooth_l1_loss), **options
    )


def everything():
    """A criterion with all losses that positives may have."""
    return criterion(
        distribution_loss=DistributionLoss(),
        quality_loss=QualityLoss(QUALITIES["iou"]),
        box_quality=QUALITIES["iou"],
        weighting=ImportancePositives(),
        carl=lambda samples: carl_weights(gt_class_scores(samples)),
    )


def harmonised():
    """A criterion of losses that count the weights of samples."""
    how = {"is_normalized": True, "takes": ("group", "weights")}
    return PointwiseCriterion(
        cls_loss=SampleLoss(GHMCLoss(), **how), box_loss=BoxLoss(GHMRLoss(), **how)
    )


def pay(targets, *, normalizer=num_samples, what=None, assigner=graded):
    """Losses, and gradients of the outputs."""
    priors, _, outputs = problem()
    generator = torch.Generator().manual_seed(1)
    outputs = replace(
        outputs,
        deltas=(4 + torch.randn(32, 4, generator=generator)).requires_grad_(),
        side_logits=torch.randn(32, 4, 9, generator=generator).requires_grad_(),
        quality_logits=torch.randn(32, generator=generator).requires_grad_(),
        box2box_transform=DistanceTransform(),
    )
    place = learner(assigner=assigner, criterion=what or criterion(), normalizer=normalizer)
    chosen = place.choose(priors, targets, outputs)
    losses = place.pay(chosen, outputs.take(chosen.rows), {})
    leaves = [outputs.logits, outputs.deltas, outputs.side_logits, outputs.quality_logits]
    grads = torch.autograd.grad(sum(losses.values()), leaves, allow_unused=True)
    return losses, [torch.zeros(()) if grad is None else grad for grad in grads]


def of(**weights):
    return replace(problem()[1], **{name: torch.tensor(w) for name, w in weights.items()})


@pytest.mark.parametrize("what", [criterion, everything, harmonised])
@pytest.mark.parametrize("normalizer", NORMALIZERS, ids=NAMES)
def test_weights_of_1_change_nothing(normalizer, what):
    plain = pay(problem()[1], normalizer=normalizer, what=what())
    ones = of(weights=[1.0] * 3, image_weights=[1.0] * 2)
    weighted = pay(ones, normalizer=normalizer, what=what())
    torch.testing.assert_close(weighted, plain, rtol=0, atol=0)


@pytest.mark.parametrize("what", [everything, harmonised])
@pytest.mark.parametrize("factor", [0.001, 1000.0])
@pytest.mark.parametrize("normalizer", NORMALIZERS, ids=NAMES)
def test_a_common_factor_changes_nothing(normalizer, factor, what):
    some = of(weights=[1.0, 3.0, 0.5], image_weights=[1.0, 2.0])
    scaled = replace(some, image_weights=factor * some.image_weights)
    expected = pay(some, normalizer=normalizer, what=what())
    torch.testing.assert_close(pay(scaled, normalizer=normalizer, what=what()), expected)


@pytest.mark.parametrize("what", [everything, harmonised])
@pytest.mark.parametrize("normalizer", NORMALIZERS, ids=NAMES)
def test_weight_0_is_the_absence_of_the_samples(normalizer, what):
    priors, targets, _ = problem()
    is_absent = DEEP(priors, targets).gt_idxs == 0
    assert is_absent.any()

    def without(priors, targets):
        assignment = graded(priors, targets)
        return replace(assignment, gt_idxs=assignment.gt_idxs.masked_fill(is_absent, -2))

    losses, grads = pay(of(weights=[0.0, 1.0, 1.0]), normalizer=normalizer, what=what())
    expected = pay(targets, normalizer=normalizer, what=what(), assigner=without)
    torch.testing.assert_close((losses, grads), expected)
    assert (grads[0][is_absent] == 0).all()


def test_the_losses_are_those_of_the_definition():
    targets = of(weights=[2.0, 0.5, 3.0], image_weights=[1.0, 0.25])
    priors, _, outputs = problem()
    losses, _ = pay(targets, normalizer=num_positives)
    gt_idxs = DEEP(priors, targets).gt_idxs
    total, divisor = 0.0, 0.0
    for row, gt_idx in enumerate(gt_idxs.tolist()):
        label = NUM_CLASSES if gt_idx < 0 else int(targets.classes[gt_idx])
        weight = [1.0, 0.25][row // 16] * (1.0 if gt_idx < 0 else [2.0, 0.5, 3.0][gt_idx])
        loss = focal_loss(outputs.logits[row : row + 1], torch.tensor([label]))
        total += weight * float(loss)
        divisor += weight if gt_idx >= 0 else 0.0
    assert float(losses["loss_cls"]) == pytest.approx(total / divisor, rel=1e-6)


def test_harmonised_losses_count_what_samples_weigh():
    targets = of(weights=[2.0, 0.5, 3.0], image_weights=[1.0, 0.25])
    priors, _, outputs = problem()
    chosen = learner(assigner=DEEP).choose(priors, targets, outputs)
    losses, record = harmonised()(Samples(chosen, outputs), 1.0)
    cls_losses = GHMCLoss()(outputs.logits, chosen.gt_labels, weights=chosen.weights)
    torch.testing.assert_close(losses["loss_cls"], cls_losses.sum())
    # The record has them before their weights, as for other losses.
    torch.testing.assert_close(record.cls_losses * chosen.weights, cls_losses)


def test_softmax_losses_are_a_weighted_mean():
    """They agree with torch's cross-entropy with weights of classes."""
    class_weights = torch.tensor([2.0, 0.5, 3.0])
    priors, targets, _ = problem()
    targets = replace(targets, weights=class_weights[targets.classes])
    logits = torch.randn(32, NUM_CLASSES + 1, generator=torch.Generator().manual_seed(2))
    outputs = replace(problem()[2], logits=logits, classifier=SOFTMAX)
    what = PointwiseCriterion(
        cls_loss=SampleLoss(softmax_cross_entropy_loss, classifier=SOFTMAX),
        box_loss=BoxLoss(smooth_l1_loss),
    )
    place = learner(assigner=DEEP, criterion=what)
    chosen = place.choose(priors, targets, outputs)
    losses = place.pay(chosen, outputs, {})
    with_background = torch.cat([class_weights, torch.ones(1)])
    expected = F.cross_entropy(logits, chosen.gt_labels, weight=with_background)
    torch.testing.assert_close(losses["loss_cls"], expected)


def test_a_place_without_any_weight_pays_nothing():
    losses, grads = pay(of(image_weights=[0.0, 0.0]), normalizer=num_positives, what=everything())
    assert all(loss.item() == 0 for loss in losses.values())
    assert all((grad == 0).all() for grad in grads)
