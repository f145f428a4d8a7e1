"""Variants of the smooth L1 loss: balanced, authentic, decayed."""

import math

import pytest
import torch

from imbdet.losses import (
    GHMRLoss,
    asl1_loss,
    balanced_l1_loss,
    decayed_smooth_l1_loss,
    smooth_l1_loss,
)


def harmonized(pred_deltas, target_deltas, mu):
    return GHMRLoss(mu=mu)(pred_deltas, target_deltas)


LOSSES = pytest.mark.parametrize("loss", [balanced_l1_loss, asl1_loss])


def random_deltas(num, seed=0):
    pred, target = torch.randn(
        2, num, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return pred.requires_grad_(), target


@pytest.mark.parametrize(("alpha", "gamma"), [(0.5, 1.5), (0.2, 1.0), (1.0, 0.3), (0.01, 0.8)])
def test_balanced_l1_has_the_promised_gradient(alpha, gamma):
    pred = torch.linspace(-3, 3, 601, dtype=torch.float64)[:, None].requires_grad_()
    loss = balanced_l1_loss(pred, torch.zeros_like(pred), alpha=alpha, gamma=gamma)
    (grad,) = torch.autograd.grad(loss.sum(), pred)
    b = math.exp(gamma / alpha) - 1
    distances = pred.detach().abs()
    expected = torch.where(distances < 1, alpha * (b * distances + 1).log(), gamma)
    torch.testing.assert_close(grad, expected * pred.detach().sign())


@pytest.mark.parametrize("beta", [0.11, 1.0, 3.0])
def test_balanced_l1_in_another_unit(beta):
    pred = torch.linspace(-4, 4, 401, dtype=torch.float64)[:, None].requires_grad_()
    loss = balanced_l1_loss(pred, torch.zeros_like(pred), beta=beta)
    plain = balanced_l1_loss(pred / beta, torch.zeros_like(pred))
    torch.testing.assert_close(loss, beta * plain)
    (grad,) = torch.autograd.grad(loss.sum(), pred)
    # eq. 9 with |d| / beta: 0 at 0, gamma from beta on, without a jump
    distances = pred.detach().abs() / beta
    expected = torch.where(distances < 1, 0.5 * (math.expm1(3) * distances).log1p(), 1.5)
    torch.testing.assert_close(grad, expected * pred.detach().sign())


def test_asl1_by_hand():
    # sqrt(0.3^2 + 0.4^2) - 0.4 = 0.1; the other coordinates are met.
    loss = asl1_loss(torch.tensor([[0.3, 0, 0, 0]]), torch.zeros(1, 4), mu=0.4)
    torch.testing.assert_close(loss, torch.tensor([0.1]))


def test_asl1_is_smooth_at_zero_and_l1_far_away():
    # d^2 / (2 mu) near zero, |d| - mu far away; in float32 small ones keep their digits.
    loss = asl1_loss(torch.tensor([[1e-5], [50.0]]), torch.zeros(2, 1))
    torch.testing.assert_close(loss, torch.tensor([1e-10 / 0.04, 50 - 0.02]), rtol=1e-5, atol=0)


@pytest.mark.parametrize("mu", [1e-50, 1e-23, 0.02, 1e30])
@pytest.mark.parametrize("loss", [asl1_loss, harmonized], ids=["asl1", "ghm_r"])
def test_asl1_of_any_finite_distance_and_width_is_that_of_double_precision(loss, mu):
    distances = torch.tensor([[0.0, 1e-30, 1e-4, 1.0, 1e10, 2e19, 1e25, 3e38]]).t()
    results = []
    for dtype in (torch.float32, torch.float64):
        pred = distances.to(dtype).requires_grad_()
        losses = loss(pred, torch.zeros_like(pred), mu=mu)
        (grad,) = torch.autograd.grad(losses.sum() / 16, pred)
        results.append((losses.detach().float(), grad.float()))
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-37)


@LOSSES
def test_gradcheck(loss):
    pred, target = random_deltas(6)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), (pred,))


@LOSSES
def test_weights_and_sum(loss):
    pred, target = random_deltas(6)
    weights = torch.arange(6.0, dtype=torch.float64)
    total = loss(pred, target, weights=weights, reduction="sum")
    torch.testing.assert_close(total, (loss(pred, target) * weights).sum())


@LOSSES
@pytest.mark.parametrize("num_positives", [0, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("difference", [0.0, 1.0, -100.0, 6e4])
def test_corner_cases_stay_finite_and_connected(loss, num_positives, dtype, difference):
    pred = torch.full((num_positives, 4), difference, dtype=dtype, requires_grad=True)
    total = loss(pred, torch.zeros_like(pred), reduction="sum")
    total.backward()
    assert total.dtype == torch.float32
    assert total.isfinite()
    assert pred.grad.isfinite().all()
    assert pred.grad.any() == (num_positives > 0 and difference != 0)


@LOSSES
@pytest.mark.parametrize(
    "shapes",
    [((3, 4), (4,)), ((3, 4), (1, 4)), ((1, 4), (3, 4)), ((3, 4), (3, 1)), ((4,), (4,))],
)
def test_pairs_that_do_not_fit_are_not_broadcast(loss, shapes):
    with pytest.raises(ValueError, match=r"must have the same shape \(P, C\), not"):
        loss(*(torch.zeros(shape) for shape in shapes))


def test_a_steep_balanced_l1_is_finite():
    distances = torch.tensor([[0.0, 1e-9, 0.5, 2.0]])
    assert balanced_l1_loss(distances, 0 * distances, alpha=1 / 88, gamma=1.0).isfinite().all()


def test_beta_falls_in_steps_to_its_minimum():
    distances = torch.linspace(-1.5, 1.5, 12).view(3, 4)
    betas = {0: 1.0, 9: 1.0, 10: 0.75, 19: 0.75, 20: 0.5, 29: 0.5, 30: 0.4, 1000: 0.4}
    schedule = {"initial_beta": 1.0, "decay": 0.25, "period": 10, "min_beta": 0.4}
    for iteration, beta in betas.items():
        losses = decayed_smooth_l1_loss(distances, 0 * distances, iteration=iteration, **schedule)
        assert torch.equal(losses, smooth_l1_loss(distances, 0 * distances, beta=beta))


def decay(zeros, **options):
    return decayed_smooth_l1_loss(zeros, zeros, iteration=0, **options)


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda zeros: balanced_l1_loss(zeros, zeros, alpha=0.0), "alpha is 0.0"),
        (lambda zeros: balanced_l1_loss(zeros, zeros, gamma=-1.0), "gamma is -1.0"),
        (
            lambda zeros: balanced_l1_loss(zeros, zeros, alpha=0.01),
            "not 1.5 and 0.01",
        ),
        (lambda zeros: balanced_l1_loss(zeros, zeros, beta=0.0), "beta is 0.0: it must be above 0"),
        (lambda zeros: balanced_l1_loss(zeros, zeros, reduction="mean"), "not 'mean'"),
        (lambda zeros: asl1_loss(zeros, zeros, mu=-1.0), "mu is -1.0: it must be above 0"),
        (lambda zeros: decay(zeros, decay=-1.0), "decay is -1.0"),
        (lambda zeros: decay(zeros, period=0), "period is 0: it must be at least 1"),
        (lambda zeros: decay(zeros, min_beta=-2.0), "min_beta is -2.0"),
    ],
)
def test_bad_arguments(compute, message):
    with pytest.raises(ValueError, match=message):
        compute(torch.zeros(1, 4))
