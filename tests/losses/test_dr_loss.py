"""DR loss against its definition, and its limits."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.kernels import chunks
from imbdet.losses import dr_loss
from tests.kernels.test_entrywise import random_problem

LAMBDA_NEG = 0.1 / math.log(3.5)


def split(entries, labels):
    """Values of the positive entries, and those of the negative ones."""
    is_positive = labels[:, None] == torch.arange(entries.shape[1])
    is_negative = ~is_positive & (labels >= 0)[:, None]
    return entries[is_positive], entries[is_negative]


def weighted_mean(scores, logits, weights):
    """Mean under the probabilities w exp(logit) / sum."""
    shares = weights * (logits - logits.max()).exp()
    return (shares * scores).sum() / shares.sum()


def definition(
    logits,
    labels,
    weights,
    margin=0.5,
    sharpness=6.0,
    tau=4.0,
    lambda_pos=1.0,
    lambda_neg=LAMBDA_NEG,
):
    """DR loss of one scope, with autograd through two ordinary softmaxes."""
    labels = labels.where(weights > 0, -1)
    pos, neg = split(logits.sigmoid(), labels)
    pos_weights, neg_weights = split(weights[:, None].expand_as(logits), labels)
    if len(pos) == len(neg) == 0:
        return pos.sum()
    pos_mean = weighted_mean(pos, -pos / lambda_pos, pos_weights) if len(pos) else 1
    neg_mean = weighted_mean(neg, neg / lambda_neg, neg_weights) if len(neg) else 0
    return tau / sharpness * (1 + (sharpness * (neg_mean - pos_mean + margin)).exp()).log()


@given(
    num_rows=st.integers(0, 40),
    num_classes=st.integers(1, 5),
    num_images=st.integers(1, 4),
    seed=st.integers(0, 2**31),
    scale=st.sampled_from([0.0, 3.0, 100.0]),
    lambda_neg=st.sampled_from([LAMBDA_NEG, 0.01, 1.0]),
    chunk_size=st.sampled_from([1, 7, 64, 2**17]),
    has_weights=st.booleans(),
)
def test_equals_its_definition(
    num_rows, num_classes, num_images, seed, scale, lambda_neg, chunk_size, has_weights
):
    logits, labels = random_problem(num_rows, num_classes, seed, scale)
    generator = torch.Generator().manual_seed(1)
    image_idxs = torch.randint(num_images, (num_rows,), generator=generator)
    weights = torch.rand(num_rows, generator=generator).mul(4).floor() if has_weights else None
    arguments = {"margin": 0.3, "sharpness": 5.0, "tau": 2.0, "lambda_pos": 0.7}
    arguments["lambda_neg"] = lambda_neg
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_ENTRIES_CPU", chunk_size)
        batch = dr_loss(logits, labels, weights=weights, **arguments)
        images = dr_loss(logits, labels, weights=weights, image_idxs=image_idxs, **arguments)
        grads = [torch.autograd.grad(loss, logits)[0] for loss in (batch, images)]
    idxs = [image_idxs == i for i in image_idxs.unique()]
    weights = torch.ones(num_rows) if weights is None else weights
    per_image = [definition(logits[i], labels[i], weights[i], **arguments) for i in idxs]
    expected = definition(logits, labels, weights, **arguments), sum(per_image) / max(len(idxs), 1)
    for loss, grad, other in zip((batch, images), grads, expected, strict=True):
        other = other + logits.sum() * 0
        torch.testing.assert_close(loss, other)
        torch.testing.assert_close(grad, torch.autograd.grad(other, logits)[0])


def test_by_hand():
    # One positive and one negative at p = 1/2: kappa x = 6 * 1/2, so 4 / 6 ln(1 + e^3). By itself
    # the positive has P- = 0: kappa x = 0; the negative has P+ = 1: kappa x = 0 as well.
    logits, labels = torch.zeros(2, 1), torch.tensor([0, 1])
    assert dr_loss(logits, labels).item() == pytest.approx(4 / 6 * math.log(1 + math.exp(3)))
    loss = dr_loss(logits, labels, image_idxs=torch.tensor([5, 2]))
    assert loss.item() == pytest.approx(4 / 6 * math.log(2))


@pytest.mark.parametrize(("temperature", "atol"), [(1e-4, 1e-3), (1e6, 1e-6)])
def test_the_temperature_leads_from_the_hardest_to_the_mean(temperature, atol):
    logits, labels = random_problem(60, 3, seed=0)
    pos, neg = split(logits.detach().sigmoid(), labels)
    means = (pos.min(), neg.max()) if temperature < 1 else (pos.mean(), neg.mean())
    # A sharp hinge with a wide margin is linear: it lets the difference itself through.
    loss = dr_loss(
        logits,
        labels,
        margin=2.0,
        sharpness=100.0,
        tau=1.0,
        lambda_pos=temperature,
        lambda_neg=temperature,
    )
    assert loss.item() == pytest.approx(float(means[1] - means[0] + 2), abs=atol)


@pytest.mark.parametrize("image_idxs", [None, torch.arange(9) % 2])
def test_gradcheck(image_idxs):
    logits, labels = random_problem(9, 3, seed=0)
    assert torch.autograd.gradcheck(
        lambda x: dr_loss(x, labels, image_idxs=image_idxs, lambda_neg=0.3), (logits,)
    )


def test_a_large_sharpness_does_not_overflow():
    logits = torch.tensor([[100.0], [-100.0]], requires_grad=True)
    loss = dr_loss(logits, torch.tensor([1, 0]), sharpness=1e4, tau=1.0)
    loss.backward()
    assert loss.item() == pytest.approx(1.5)
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("by_image", [False, True])
@pytest.mark.parametrize("kinds", ["", "---", "nnn", "n-n", "p", "ppp", "p-", "pn"])
@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("score", [-100.0, 0.0, 100.0])
def test_corner_cases_stay_finite_and_connected(by_image, kinds, num_classes, dtype, score):
    labels = torch.tensor([{"p": 0, "n": num_classes, "-": -1}[k] for k in kinds], dtype=torch.long)
    logits = torch.full((len(kinds), num_classes), score, dtype=dtype)
    logits[labels < 0] = torch.nan
    logits.requires_grad_()
    loss = dr_loss(logits, labels, image_idxs=torch.arange(len(kinds)) if by_image else None)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert logits.grad.dtype == dtype
    assert logits.grad.isfinite().all()
    assert not logits.grad[labels < 0].any()
    if not {"p", "n"} & set(kinds):
        assert loss == 0
    elif score == 0:
        assert logits.grad.any()


def test_float32_on_a_large_problem_equals_float64():
    logits, labels = random_problem(20_000, 8, seed=0, dtype=torch.float32)
    wide = logits.detach().double().requires_grad_()
    image_idxs = torch.arange(20_000) // 7000
    losses = [dr_loss(x, labels, image_idxs=image_idxs) for x in (logits, wide)]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-6)
    grad = torch.autograd.grad(losses[0], logits)[0].double()
    (expected,) = torch.autograd.grad(losses[1], wide)
    atol = 1e-5 * float(expected.abs().max())
    torch.testing.assert_close(grad, expected, rtol=1e-4, atol=atol)


def test_a_second_backward_pass_is_right():
    logits, labels = random_problem(20, 2, seed=1)
    loss = dr_loss(logits, labels)
    (first,) = torch.autograd.grad(loss, logits, retain_graph=True)
    (second,) = torch.autograd.grad(3 * loss, logits)
    torch.testing.assert_close(second, 3 * first)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sharpness": 0.0}, "sharpness is 0.0: it must be above 0"),
        ({"lambda_pos": -1.0}, "lambda_pos is -1.0"),
        ({"lambda_neg": 0.0}, "lambda_neg is 0.0"),
        ({"image_idxs": torch.zeros(3).long()}, r"image_idxs must have the shape \(4,\).* \(3,\)"),
        ({"gt_labels": torch.zeros(3).long()}, r"gt_labels must have the shape \(4,\)"),
    ],
)
def test_bad_arguments(arguments, message):
    arguments = {"gt_labels": torch.zeros(4).long(), **arguments}
    with pytest.raises(ValueError, match=message):
        dr_loss(torch.zeros(4, 2), arguments.pop("gt_labels"), **arguments)
