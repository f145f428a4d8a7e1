"""Losses with soft targets against their dense definitions, and in corner cases."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from imbdet.kernels import chunks
from imbdet.losses import (
    focal_loss,
    iou_aware_bce_loss,
    matchability_aware_loss,
    position_supervised_loss,
    quality_focal_loss,
    sigmoid_cross_entropy_loss,
    varifocal_loss,
)
from tests.kernels.test_entrywise import random_problem, random_weights

# The gradients of the other losses treat a part of the value as a constant.
DIFFERENTIABLE = [quality_focal_loss, varifocal_loss, position_supervised_loss]
LOSSES = pytest.mark.parametrize(
    "loss", [*DIFFERENTIABLE, matchability_aware_loss, iou_aware_bce_loss]
)


def random_ious(labels, num_classes, seed=0):
    """Quality of the positives, with values of 0 and 1."""
    num_positives = int(((labels >= 0) & (labels < num_classes)).sum())
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(num_positives, generator=generator, dtype=torch.float64) * 5).round() / 5


def dense(elementwise_loss, logits, labels, ious):
    """(M,) row sums of a loss of p, soft and hard targets and the cross-entropy with the soft."""
    is_positive = labels[:, None] == torch.arange(logits.shape[1])
    target = torch.zeros_like(logits)
    target[is_positive] = ious
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    losses = elementwise_loss(torch.sigmoid(logits), target, is_positive, cross_entropy)
    return losses.sum(dim=1) * (labels >= 0)


def quality_focal_definition(beta):
    return lambda p, y, is_positive, bce: (y - p).abs() ** beta * bce


def varifocal_definition(alpha, gamma):
    return lambda p, y, is_positive, bce: torch.where(is_positive, y, alpha * p**gamma) * bce


def detached_varifocal_definition(alpha, gamma):
    definition = varifocal_definition(alpha, gamma)
    return lambda p, y, is_positive, bce: definition(p.detach(), y, is_positive, bce)


PAIRS = [
    (quality_focal_loss, {}, quality_focal_definition(2)),
    (quality_focal_loss, {"beta": 0.0}, quality_focal_definition(0)),
    (quality_focal_loss, {"beta": 0.5}, quality_focal_definition(0.5)),
    (quality_focal_loss, {"beta": 1.0}, quality_focal_definition(1)),
    (varifocal_loss, {}, varifocal_definition(0.75, 2)),
    (varifocal_loss, {"alpha": 1.0, "gamma": 0.0}, varifocal_definition(1, 0)),
    (varifocal_loss, {"alpha": 0.3, "gamma": 1.5}, varifocal_definition(0.3, 1.5)),
    (varifocal_loss, {"detach_factor": True}, detached_varifocal_definition(0.75, 2)),
]


@pytest.mark.parametrize(("fast", "arguments", "slow"), PAIRS)
@given(
    num_rows=st.integers(0, 40),
    num_classes=st.integers(1, 6),
    seed=st.integers(0, 2**31),
    chunk_size=st.sampled_from([1, 7, 64, 2**17]),
)
def test_equals_the_definition(fast, arguments, slow, num_rows, num_classes, seed, chunk_size):
    logits, labels = random_problem(num_rows, num_classes, seed)
    ious = random_ious(labels, num_classes, seed)
    weights = random_weights(num_rows, seed + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_ENTRIES_CPU", chunk_size)
        losses = fast(logits, labels, ious, **arguments)
        (grad,) = torch.autograd.grad((losses * weights).sum(), logits)
    expected = dense(slow, logits, labels, ious)
    (expected_grad,) = torch.autograd.grad((expected * weights).sum(), logits)
    torch.testing.assert_close(losses, expected)
    torch.testing.assert_close(grad, expected_grad)


@pytest.mark.parametrize("loss", DIFFERENTIABLE)
def test_gradcheck(loss):
    logits, labels = random_problem(9, 3, seed=0)
    ious = random_ious(labels, 3)
    assert torch.autograd.gradcheck(lambda x: loss(x, labels, ious), (logits,))


def test_one_entry_by_hand():
    # p = 1/2, BCE = ln 2 whatever the target. QFL: (1/4)^2 ln 2 of the positive with y = 3/4,
    # (1/2)^2 ln 2 of the negative. VFL: 3/4 ln 2, and 3/4 (1/2)^2 ln 2.
    ln2 = torch.tensor(2.0).log()
    problem = torch.zeros(3, 1), torch.tensor([0, 1, -1]), torch.tensor([0.75])
    expected = torch.stack([ln2 / 16, ln2 / 4, 0 * ln2])
    torch.testing.assert_close(quality_focal_loss(*problem), expected)
    expected = torch.stack([3 * ln2 / 4, 3 * ln2 / 16, 0 * ln2])
    torch.testing.assert_close(varifocal_loss(*problem), expected)


def test_perfect_quality_leaves_focal_loss_and_cross_entropy():
    logits, labels = random_problem(50, 4, seed=0)
    ones = torch.ones_like(random_ious(labels, 4))
    quality = quality_focal_loss(logits, labels, ones, beta=1.5)
    torch.testing.assert_close(quality, focal_loss(logits, labels, alpha=-1, gamma=1.5))
    varifocal = varifocal_loss(logits, labels, ones, alpha=1.0, gamma=0.0)
    torch.testing.assert_close(varifocal, sigmoid_cross_entropy_loss(logits, labels))


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 2.0])
def test_a_met_target_has_a_gradient(beta):
    logits = torch.zeros(1, 1, requires_grad=True)
    quality_focal_loss(logits, torch.tensor([0]), torch.tensor([0.5]), beta=beta).sum().backward()
    assert logits.grad.item() == 0


def test_the_slope_at_a_saturated_positive_keeps_its_digits():
    # y = 1: the loss is (1 - p)^3 and its gradient -3 (1 - p)^3 for p near 1, with 1 - p = e^-20.
    logits = torch.full((1, 1), 20.0, requires_grad=True)
    loss = quality_focal_loss(logits, torch.tensor([0]), torch.ones(1))
    loss.sum().backward()
    cube = torch.tensor([[-60.0]]).exp()
    torch.testing.assert_close(loss[:, None], cube, rtol=1e-5, atol=0)
    torch.testing.assert_close(logits.grad, -3 * cube, rtol=1e-5, atol=0)


@LOSSES
@pytest.mark.parametrize(
    "labels", [[], [-1, -1], [1, 1], [0, 0, 0], [0, 1, -1]], ids=["empty", "-", "n", "p", "pn-"]
)
@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("score", [-100.0, 100.0])
def test_corner_cases_stay_finite_and_connected(loss, labels, num_classes, dtype, score):
    labels = torch.tensor(labels, dtype=torch.int64)
    labels[labels == 1] = num_classes
    logits = torch.full((len(labels), num_classes), score, dtype=dtype, requires_grad=True)
    ious = torch.linspace(0, 1, int((labels == 0).sum()), dtype=torch.float64)
    total = loss(logits, labels, ious, reduction="sum")
    total.backward()
    assert total.dtype == torch.float32
    assert logits.grad.dtype == dtype
    assert total.isfinite()
    assert logits.grad.isfinite().all()


@LOSSES
def test_ious_get_no_gradient_and_weights_multiply(loss):
    logits, labels = random_problem(20, 2, seed=2)
    ious = random_ious(labels, 2).requires_grad_()
    weights = torch.arange(20.0, dtype=torch.float64)
    total = loss(logits, labels, ious, weights=weights, reduction="sum")
    torch.testing.assert_close(total, (loss(logits, labels, ious) * weights).sum())
    assert torch.autograd.grad(total, ious, allow_unused=True)[0] is None


@LOSSES
def test_a_second_backward_pass_is_right(loss):
    logits, labels = random_problem(20, 2, seed=1)
    total = loss(logits, labels, random_ious(labels, 2), reduction="sum")
    (first,) = torch.autograd.grad(total, logits, retain_graph=True)
    (second,) = torch.autograd.grad(3 * total, logits)
    torch.testing.assert_close(second, 3 * first)


@pytest.mark.parametrize(
    ("loss", "arguments", "message"),
    [
        (quality_focal_loss, {"beta": -1.0}, "beta is -1.0: it must be at least 0"),
        (varifocal_loss, {"alpha": -0.5}, "alpha is -0.5"),
        (varifocal_loss, {"gamma": -2.0}, "gamma is -2.0"),
        (varifocal_loss, {"ious": torch.ones(2)}, r"ious must have the shape \(3,\).* \(2,\)"),
        (quality_focal_loss, {"reduction": "mean"}, "not 'mean'"),
        (matchability_aware_loss, {"gamma": -1.0}, "gamma is -1.0: it must be at least 0"),
        (matchability_aware_loss, {"ious": torch.ones(2)}, r"ious must have the shape \(3,\)"),
        (iou_aware_bce_loss, {"alpha": 1.5}, "alpha is 1.5: it must be from 0 to 1"),
        (iou_aware_bce_loss, {"tau": 0.0}, "tau is 0.0: it must be above 0"),
        (iou_aware_bce_loss, {"gt_idxs": torch.zeros(2).long()}, r"gt_idxs must have .*\(3,\)"),
        (position_supervised_loss, {"alpha": 2.0}, "alpha is 2.0: it must be at most 1"),
        (position_supervised_loss, {"image_idxs": torch.zeros(3)}, "image_idxs must have the sha"),
    ],
)
def test_bad_arguments(loss, arguments, message):
    arguments = {"ious": torch.ones(3), **arguments}
    labels = torch.tensor([0, 1, 1, -1, 2])
    with pytest.raises(ValueError, match=message):
        loss(torch.zeros(5, 2), labels, arguments.pop("ious"), **arguments)
