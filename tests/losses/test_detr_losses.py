"""Classification losses of DETRs against their dense definitions; queries are the rows."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.losses import (
    iou_aware_bce_loss,
    matchability_aware_loss,
    position_supervised_loss,
    quality_focal_loss,
    varifocal_loss,
)
from tests.kernels.test_entrywise import random_problem
from tests.losses.test_quality_losses import dense, random_ious

PROBLEMS = given(
    num_rows=st.integers(0, 40), num_classes=st.integers(1, 6), seed=st.integers(0, 2**31)
)


def problem(num_rows, num_classes, seed):
    """Logits, labels and IoUs; the object of each positive and the image of each row."""
    logits, labels = random_problem(num_rows, num_classes, seed)
    ious = random_ious(labels, num_classes, seed)
    generator = torch.Generator().manual_seed(seed)
    gt_idxs = torch.randint(0, 4, (len(ious),), generator=generator)
    image_idxs = torch.randint(0, 3, (num_rows,), generator=generator)
    return logits, labels, ious, gt_idxs, image_idxs


def positive_scores(logits, labels):
    is_positive = (labels >= 0) & (labels < logits.shape[1])
    return logits.detach()[is_positive, labels[is_positive]].sigmoid()


def assert_equal_with_gradient(losses, expected, logits):
    torch.testing.assert_close(losses, expected)
    (grad,) = torch.autograd.grad(losses.sum(), logits)
    (expected_grad,) = torch.autograd.grad(expected.sum(), logits)
    torch.testing.assert_close(grad, expected_grad)


@PROBLEMS
def test_matchability_aware(num_rows, num_classes, seed):
    logits, labels, ious, *_ = problem(num_rows, num_classes, seed)
    losses = matchability_aware_loss(logits, labels, ious, alpha=0.5, gamma=1.3)

    def entries(p, y, is_positive, bce):
        return torch.where(is_positive, 1.0, 0.5 * p.detach() ** 1.3) * bce

    assert_equal_with_gradient(losses, dense(entries, logits, labels, ious**1.3), logits)


def joint_targets(logits, labels, ious, gt_idxs, tau):
    """Targets of IA-BCE, computed one by one."""
    scores = positive_scores(logits, labels)
    targets = (scores**0.25 * ious**0.75).clamp(min=0.01).tolist()
    ranks = [
        sum(
            gt_idxs[j] == gt_idxs[i] and (-targets[j], j) < (-targets[i], i)
            for j in range(len(targets))
        )
        for i in range(len(targets))
    ]
    values = [t * math.exp(-int(rank) / tau) for t, rank in zip(targets, ranks, strict=True)]
    return torch.tensor(values, dtype=torch.float64)


@PROBLEMS
def test_iou_aware_bce(num_rows, num_classes, seed):
    logits, labels, ious, gt_idxs, _ = problem(num_rows, num_classes, seed)
    targets = joint_targets(logits, labels, ious, gt_idxs, tau=1.5)
    losses = iou_aware_bce_loss(logits, labels, ious, gt_idxs=gt_idxs)

    def entries(p, y, is_positive, bce):
        return torch.where(is_positive, 1.0, p**2) * bce

    assert_equal_with_gradient(losses, dense(entries, logits, labels, targets), logits)


@PROBLEMS
def test_position_supervised(num_rows, num_classes, seed):
    logits, labels, ious, _, image_idxs = problem(num_rows, num_classes, seed)
    images = image_idxs[(labels >= 0) & (labels < num_classes)]
    targets = ious.clone()
    for image in images.unique():
        targets[images == image] /= ious[images == image].max() + 1e-8
    losses = position_supervised_loss(logits, labels, ious, image_idxs=image_idxs, alpha=0.3)

    def entries(p, y, is_positive, bce):
        return torch.where(is_positive, 0.3, 0.7) * (y - p).abs() ** 2 * bce

    assert_equal_with_gradient(losses, dense(entries, logits, labels, targets), logits)


def test_one_query_by_hand():
    # p = 1/2 has the cross-entropy ln 2 for any target: MAL is ln 2 whatever the IoU, varifocal
    # loss IoU ln 2. IA-BCE: ln 2. Position-supervised: the only query is the best, so that its
    # target is 1: 1/4 (1/2)^2 ln 2.
    query = torch.zeros(1, 1), torch.tensor([0]), torch.tensor([0.25])
    ln2 = math.log(2)
    assert matchability_aware_loss(*query).item() == pytest.approx(ln2)
    assert varifocal_loss(*query).item() == pytest.approx(ln2 / 4)
    assert iou_aware_bce_loss(*query).item() == pytest.approx(ln2)
    assert position_supervised_loss(*query).item() == pytest.approx(ln2 / 16)


def test_a_bad_match_is_pushed_down_by_mal_and_not_by_varifocal_loss():
    grads = []
    for loss in (matchability_aware_loss, varifocal_loss):
        logits = torch.zeros(1, 1, requires_grad=True)
        loss(logits, torch.tensor([0]), torch.tensor([0.01])).sum().backward()
        grads.append(logits.grad.item())
    assert grads[0] > 0.4
    assert 0 < grads[1] < 0.01


def test_only_the_best_query_of_an_object_keeps_its_target():
    # All IoUs are 1 and all scores equal: the gradient p - t shows the target of each.
    logits = torch.zeros(4, 1, requires_grad=True)
    labels, gt_idxs = torch.zeros(4, dtype=torch.int64), torch.tensor([7, 3, 7, 7])
    losses = iou_aware_bce_loss(logits, labels, torch.ones(4), gt_idxs=gt_idxs, alpha=0.0, tau=2.0)
    (grad,) = torch.autograd.grad(losses.sum(), logits)
    falling = torch.tensor([0.0, 0.0, -0.5, -1.0]).exp()
    torch.testing.assert_close(0.5 - grad[:, 0], falling)


def test_images_have_best_queries_of_their_own():
    logits, labels, ious, _, image_idxs = problem(40, 3, seed=0)
    joint = position_supervised_loss(logits, labels, ious, image_idxs=image_idxs)
    images = image_idxs[(labels >= 0) & (labels < 3)]
    for image in range(3):
        rows = image_idxs == image
        alone = position_supervised_loss(logits[rows], labels[rows], ious[images == image])
        torch.testing.assert_close(joint[rows], alone)


def test_position_supervision_by_the_best_possible_is_quality_focal_loss():
    logits, labels, ious, *_ = problem(30, 2, seed=1)
    ious[0] = 1
    losses = position_supervised_loss(logits, labels, ious, alpha=-1.0)
    torch.testing.assert_close(losses, quality_focal_loss(logits, labels, ious), rtol=0, atol=1e-6)


def test_images_whose_queries_all_miss_stay_finite():
    logits = torch.zeros(3, 2, requires_grad=True)
    losses = position_supervised_loss(logits, torch.tensor([0, 1, 2]), torch.zeros(2))
    losses.sum().backward()
    assert losses.isfinite().all()
    assert logits.grad.isfinite().all()
