"""Distribution focal loss and the distance that is decoded from a distribution."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.losses import distribution_focal_loss, expected_distance


def random_sides(*shape, num_distances=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(*shape, num_distances, generator=generator, dtype=torch.float64)
    targets = torch.rand(*shape, generator=generator, dtype=torch.float64) * (num_distances - 1)
    return logits.requires_grad_(), targets


def test_by_hand():
    # Probabilities 1/4, 1/2, 1/4 have the mean 1. At 1.25 the loss is 3/4 ln 2 + 1/4 ln 4.
    logits = torch.tensor([1.0, 2.0, 1.0]).log().expand(2, 3)
    torch.testing.assert_close(expected_distance(logits), torch.ones(2))
    ln2 = torch.tensor(2.0).log()
    losses = distribution_focal_loss(logits, torch.tensor([1.25, 2.0]))
    torch.testing.assert_close(losses, torch.stack([5 * ln2 / 4, 2 * ln2]))


@given(
    num_distances=st.integers(2, 9),
    target=st.floats(0, 1) | st.sampled_from([0.0, 1.0]),
    seed=st.integers(0, 2**31),
)
def test_equals_cross_entropy_with_a_soft_target(num_distances, target, seed):
    logits, _ = random_sides(1, num_distances=num_distances, seed=seed)
    target *= num_distances - 1
    distances = torch.arange(num_distances, dtype=torch.float64)
    soft_target = (1 - (distances - target).abs()).clamp(min=0)
    expected = -(soft_target * logits.log_softmax(dim=-1)).sum(dim=-1)
    losses = distribution_focal_loss(logits, torch.tensor([target], dtype=torch.float64))
    torch.testing.assert_close(losses, expected)


def test_gradcheck():
    logits, targets = random_sides(3, 4)
    targets[0] = torch.tensor([0.0, 1.0, 4.0, 3.0])
    assert torch.autograd.gradcheck(lambda x: distribution_focal_loss(x, targets), (logits,))
    assert torch.autograd.gradcheck(expected_distance, (logits,))


def test_sides_of_samples_are_their_own():
    logits, targets = random_sides(3, 4)
    losses = distribution_focal_loss(logits, targets)
    torch.testing.assert_close(
        losses.flatten(), distribution_focal_loss(logits.flatten(0, 1), targets.flatten())
    )


def test_the_minimum_is_the_target():
    share = torch.tensor([0.0, 0.3, 0.7, 0.0])
    logits = share.log().clamp(min=-100).requires_grad_()
    torch.testing.assert_close(expected_distance(logits), torch.tensor(1.7))
    distribution_focal_loss(logits[None], torch.tensor([1.7])).sum().backward()
    torch.testing.assert_close(logits.grad, torch.zeros(4))


def test_targets_outside_count_as_the_ends_and_get_no_gradient():
    logits, _ = random_sides(4)
    outside = torch.tensor([-3.0, 4.5, -torch.inf, torch.inf], dtype=torch.float64).requires_grad_()
    losses = distribution_focal_loss(logits, outside)
    ends = torch.tensor([0.0, 4.0, 0.0, 4.0], dtype=torch.float64)
    torch.testing.assert_close(losses, distribution_focal_loss(logits, ends))
    assert torch.autograd.grad(losses.sum(), outside, allow_unused=True)[0] is None


@pytest.mark.parametrize("num_sides", [0, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("score", [-100.0, 100.0])
def test_corner_cases_stay_finite_and_connected(num_sides, dtype, score):
    logits = torch.zeros(num_sides, 17, dtype=dtype)
    logits[:, 3] = score
    logits.requires_grad_()
    targets = torch.linspace(0, 16, num_sides)
    total = distribution_focal_loss(logits, targets).sum() + expected_distance(logits).sum()
    total.backward()
    assert total.dtype == torch.float32
    assert logits.grad.dtype == dtype
    assert total.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(
    ("logits", "targets"), [((3, 4, 5), (3,)), ((3, 5), (3, 5)), ((3, 1), (3,)), ((), ())]
)
def test_bad_shapes(logits, targets):
    with pytest.raises(ValueError, match="shape of targets and at least two distances"):
        distribution_focal_loss(torch.zeros(logits), torch.zeros(targets))
