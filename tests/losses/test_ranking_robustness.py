"""Ranking losses with NaN, infinities, repeated backward passes and autocast."""

import math

import pytest
import torch

from imbdet.kernels.grid import make_grid
from imbdet.kernels.steps import Steps
from tests.losses.ranking_problems import ALL_LOSSES, random_problem, values_and_grads

FEW, MANY = 30, 100_000  # many logits of half precision are looked up by their bit patterns
IMAGES = pytest.mark.parametrize("num_images", [None, 4])
TYPES = pytest.mark.parametrize(
    ("dtype", "size"),
    [(torch.float16, FEW), (torch.float16, MANY), (torch.float32, FEW), (torch.float64, FEW)],
)


def problem(num_rows, dtype, num_images):
    """Logits, labels, quality of the positives, and the scope's arguments."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(num_rows, 3, generator=generator).to(dtype)
    labels = torch.full((num_rows,), 3)
    labels[:20] = torch.arange(20) % 5 - 1  # ignored, 0, 1, 2, background, ...
    quality = torch.rand(12, generator=generator)
    scope = {} if num_images is None else {"image_idxs": torch.arange(num_rows) % num_images}
    return logits, labels, quality, scope


@ALL_LOSSES
@TYPES
@IMAGES
@pytest.mark.parametrize("delta", [0.0, 1.0])
@pytest.mark.parametrize("entry", [(1, 0), (1, 1), (4, 2), (-1, 0)])
def test_nan_makes_the_losses_nan(loss, dtype, size, num_images, delta, entry):
    logits, labels, quality, scope = problem(size, dtype, num_images)
    logits[entry] = math.nan
    values, grads = values_and_grads(loss, logits, labels, quality, delta=delta, **scope)
    assert values.isnan().all()
    assert grads[0][labels.clamp(max=2) == labels].isnan().any()
    assert not grads[:, labels < 0].any()


@ALL_LOSSES
@TYPES
def test_nan_makes_the_losses_nan_without_positives(loss, dtype, size):
    logits, _, _, _ = problem(size, dtype, None)
    logits[3, 1] = math.nan
    labels = torch.full((size,), 3)
    assert values_and_grads(loss, logits, labels, torch.zeros(0))[0][0].isnan()


@ALL_LOSSES
@TYPES
@IMAGES
@pytest.mark.parametrize("stray", [math.nan, math.inf, -math.inf])
def test_ignored_rows_do_not_matter(loss, dtype, size, num_images, stray):
    logits, labels, quality, scope = problem(size, dtype, num_images)
    values, grads = values_and_grads(loss, logits, labels, quality, **scope)
    logits[labels < 0] = stray
    others, other_grads = values_and_grads(loss, logits, labels, quality, **scope)
    torch.testing.assert_close(others, values, rtol=0, atol=0)
    torch.testing.assert_close(other_grads, grads, rtol=0, atol=1e-12)


@ALL_LOSSES
@TYPES
@IMAGES
@pytest.mark.parametrize("delta", [0.0, 1.0])
def test_infinite_negatives_are_the_limit_of_finite_ones(loss, dtype, size, num_images, delta):
    logits, labels, quality, scope = problem(size, dtype, num_images)
    strays = torch.zeros_like(logits)
    strays[1, 1], strays[4, 2], strays[-1, 0] = 1, 1, -1
    finite, infinite = (logits.where(strays == 0, x * strays) for x in (1000, math.inf))
    values, grads = values_and_grads(loss, infinite, labels, quality, delta=delta, **scope)
    expected = values_and_grads(loss, finite, labels, quality, delta=delta, **scope)
    torch.testing.assert_close(values, expected[0])
    torch.testing.assert_close(grads, expected[1])
    assert grads[0, 4, 2] > 0
    assert not grads[:, -1, 0].any()


@ALL_LOSSES
@TYPES
@IMAGES
@pytest.mark.parametrize("score", [math.inf, -math.inf, 3e38, -3e38])
def test_extreme_positives_do_not_crash(loss, dtype, size, num_images, score):
    logits, labels, quality, scope = problem(size, dtype, num_images)
    logits[1, 0] = score
    values, _ = values_and_grads(loss, logits, labels, quality, **scope)
    assert values.isnan().all() == logits[1, 0].isinf()


@ALL_LOSSES
def test_a_second_backward_gives_the_same_gradient(loss):
    logits, labels, quality = random_problem(100, 3, 0, "random")
    value = sum(loss(logits, labels, quality.detach()))
    first, second = (torch.autograd.grad(value, logits, retain_graph=True)[0] for _ in range(2))
    assert first.any()
    assert first.equal(second)


@ALL_LOSSES
@IMAGES
@pytest.mark.parametrize(
    ("dtype", "size"), [(torch.bfloat16, FEW), (torch.bfloat16, MANY), (torch.float32, FEW)]
)
def test_autocast_changes_nothing(loss, dtype, size, num_images):
    logits, labels, quality, scope = problem(size, dtype, num_images)
    values, grads = values_and_grads(loss, logits, labels, quality, **scope)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss(logits, labels, quality, **scope)[0].dtype == torch.float32
        others, other_grads = values_and_grads(loss, logits, labels, quality, **scope)
    assert others.equal(values)
    assert other_grads.equal(grads)


def test_many_logits_of_half_precision_are_looked_up_by_their_pattern():
    """The problems of size MANY are meant for this."""
    steps = Steps(torch.zeros(1), 1.0)
    num_cells = [
        len(make_grid(steps, torch.empty(n, 3, dtype=torch.float16)).buckets) for n in (FEW, MANY)
    ]
    assert num_cells[0] != 2**16 == num_cells[1]
