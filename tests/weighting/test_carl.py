"""CARL against its definition, and its limits."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.weighting import carl_weights, gt_class_scores
from tests.weighting.factories import random_candidates, samples_of


def carl_loss(scores, box_losses, **options):
    """The loss of CARL as the criterion sums it up."""
    return (carl_weights(scores, **options) * box_losses).sum()


SCORES = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30)


@given(scores=SCORES, k=st.sampled_from([0.0, 0.5, 1.0, 2.0]), bias=st.floats(0.01, 1))
def test_equals_the_definition(scores, k, bias):
    scores = torch.tensor(scores)
    values = ((1 - bias) * scores.double() + bias) ** k
    weights = carl_weights(scores, k=k, bias=bias)
    torch.testing.assert_close(weights, (values / values.mean()).float())
    assert weights.mean().item() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("k", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("logits", [[-20.0, -18.0, -25.0], [-40.0, -60.0, -50.0], [-30.0, 0.0]])
def test_scores_near_0_differ_without_a_bias(logits, k):
    def pay(dtype):
        scores = torch.tensor(logits, dtype=dtype, requires_grad=True)
        loss = carl_loss(scores.sigmoid(), torch.arange(1, len(logits) + 1), k=k, bias=0.0)
        (grad,) = torch.autograd.grad(loss, scores)
        return torch.stack([carl_weights(scores.sigmoid(), k=k, bias=0.0).detach(), grad])

    values = torch.tensor(logits, dtype=torch.float64).sigmoid() ** k
    weights, grads = pay(torch.float32)
    torch.testing.assert_close(weights, (values / values.mean()).float(), rtol=1e-5, atol=0)
    torch.testing.assert_close(grads, pay(torch.float64)[1].float(), rtol=1e-3, atol=1e-6)
    assert grads.any()


@pytest.mark.parametrize("k", [0.5, 1.0, 2.0])
def test_gradient_of_scores_and_box_losses(k):
    generator = torch.Generator().manual_seed(0)
    scores, box_losses = (
        torch.rand(6, dtype=torch.float64, generator=generator).requires_grad_() for _ in range(2)
    )
    assert torch.autograd.gradcheck(lambda s, b: carl_loss(s, b, k=k), (scores, box_losses))


def test_scores_move_towards_good_boxes():
    scores = torch.tensor([0.5, 0.5, 0.5], requires_grad=True)
    carl_loss(scores, torch.tensor([0.1, 0.5, 2.0])).backward()
    assert scores.grad[0] < 0 < scores.grad[2]
    # A shift of all scores by the same factor leaves the weights: no gradient in that direction.
    assert scores.grad.sum() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    "scores", [[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1e-30, 1e-38], [2e-38, 1e-44], [0.0]]
)
@pytest.mark.parametrize("bias", [0.0, 0.2])
@pytest.mark.parametrize("k", [0.5, 1.0, 2.0, 20.0])
def test_saturated_scores_stay_finite(scores, bias, k):
    scores = torch.tensor(scores, requires_grad=True)
    loss = carl_loss(scores, torch.linspace(1, 1e6, len(scores)), k=k, bias=bias)
    loss.backward()
    assert loss.isfinite()
    assert scores.grad.isfinite().all()
    if scores[0] == scores[-1]:
        assert carl_weights(scores, k=k, bias=bias).tolist() == pytest.approx([1] * len(scores))


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_scores_of_samples(activation, dtype):
    labels = [[0, 3, 2, -1], [], [1]]
    num_columns = 4 if activation == "softmax" else 3
    samples = samples_of(random_candidates(labels, dtype=dtype), num_columns=num_columns)
    scores = gt_class_scores(samples)
    logits = samples.pred_logits.detach().float()
    expected = logits.softmax(dim=1) if activation == "softmax" else logits.sigmoid()
    torch.testing.assert_close(scores.detach(), expected[[0, 2, 5 - 1], [0, 2, 1]])
    carl_loss(scores, torch.tensor([1.0, 2.0, 3.0])).backward()
    assert (samples.pred_logits.grad.abs().sum(dim=1) > 0).tolist() == [True, False] * 2 + [True]


@pytest.mark.parametrize("labels", [[[]], [[3, -1]]])
@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_no_positives_give_a_connected_zero(labels, activation):
    samples = samples_of(random_candidates(labels), num_columns=4)
    box_losses = samples.positives.pred_deltas.sum(dim=1)
    loss = carl_loss(gt_class_scores(samples), box_losses)
    loss.backward()
    assert loss == 0
    assert (samples.pred_logits.grad == 0).all()
    assert samples.outputs.deltas.grad is not None


@pytest.mark.parametrize("options", [{"k": -1.0}, {"bias": -0.1}, {"bias": 1.1}])
def test_refuses_what_is_no_weight(options):
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=f"{name} is {value}: it must be"):
        carl_weights(torch.ones(2), **options)
