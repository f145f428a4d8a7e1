"""Losses for long tails that keep statistics, against their definitions and in corner cases."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.losses import (
    EQLv2Loss,
    EqualizedFocalLoss,
    EqualizedQualityFocalLoss,
    EquilibriumLoss,
    SeesawLoss,
    focal_loss,
    quality_focal_loss,
    sigmoid_cross_entropy_loss,
)
from tests.kernels.test_entrywise import random_problem


def ious_of(labels, num_classes):
    return torch.linspace(0, 1, int(((labels >= 0) & (labels < num_classes)).sum()))


# Name, module of K classes, columns beside the classes.
MODULES = {
    "seesaw": (SeesawLoss, 2),
    "eqlv2": (EQLv2Loss, 1),
    "equilibrium": (EquilibriumLoss, 1),
    "efl": (EqualizedFocalLoss, 0),
    "eqfl": (EqualizedQualityFocalLoss, 0),
}


def pay(module, logits, labels):
    if isinstance(module, EqualizedQualityFocalLoss):
        return module(logits, labels, ious_of(labels, module.num_classes))
    if isinstance(module, EquilibriumLoss):
        return module(logits, labels, gt_idxs=torch.arange(len(labels)))
    return module(logits, labels)


def problem(name, num_rows=9, num_classes=4, seed=0):
    logits, _ = random_problem(num_rows, num_classes + MODULES[name][1], seed)
    _, labels = random_problem(num_rows, num_classes, seed)
    return logits, labels


def seesaw_row(row, label, counts, p=0.8, q=2.0, eps=0.01):
    """Seesaw loss as in the paper: factors of the terms of the softmax's denominator."""
    *classes, is_object, is_background = (math.exp(x) for x in row)
    right = is_background if label == len(classes) else is_object
    loss = -math.log(right / (is_object + is_background))
    if label == len(classes):
        return loss
    shares = [x / sum(classes) for x in classes]
    counts = [max(n, 1) for n in counts]
    terms = [
        x
        * min(1, (counts[j] / counts[label]) ** p)
        * max(1, shares[j] / max(shares[label], eps)) ** q
        if j != label
        else x
        for j, x in enumerate(classes)
    ]
    return loss - math.log(classes[label] / sum(terms))


@given(num_rows=st.integers(0, 8), num_classes=st.integers(1, 5), seed=st.integers(0, 2**31))
def test_seesaw_equals_the_definition(num_rows, num_classes, seed):
    module = SeesawLoss(num_classes)
    counts = [0] * num_classes
    for step in range(2):
        logits, labels = problem("seesaw", num_rows, num_classes, seed + step)
        for label in labels.tolist():
            if 0 <= label < num_classes:
                counts[label] += 1
        expected = [
            seesaw_row(row, label, counts) if label >= 0 else 0.0
            for row, label in zip(logits.tolist(), labels.tolist(), strict=True)
        ]
        losses = module(logits, labels)
        torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64))
        assert module.class_counts.tolist() == counts


def test_seesaw_without_factors_is_two_cross_entropies():
    logits, labels = problem("seesaw")
    losses = SeesawLoss(4, p=0, q=0)(logits, labels)
    is_object = labels < 4
    objectness = -logits[:, 4:].log_softmax(dim=1)[range(9), (~is_object).long()]
    classes = -logits[:, :4].log_softmax(dim=1)[range(9), labels.clamp(0, 3)]
    torch.testing.assert_close(losses, (objectness + classes * is_object) * (labels >= 0))


def test_balanced_modules_are_their_plain_losses():
    logits, labels = problem("efl")
    torch.testing.assert_close(EqualizedFocalLoss(4)(logits, labels), focal_loss(logits, labels))
    ious = ious_of(labels, 4)
    torch.testing.assert_close(
        EqualizedQualityFocalLoss(4)(logits, labels, ious),
        quality_focal_loss(logits, labels, ious),
    )
    logits, labels = problem("eqlv2")
    columns = torch.where(labels < 0, -1, labels)
    torch.testing.assert_close(
        EQLv2Loss(4)(logits, labels), sigmoid_cross_entropy_loss(logits, columns)
    )


@pytest.mark.parametrize("name", ["eqlv2", "efl", "eqfl"])
def test_gradients_that_are_collected_are_those_of_the_loss(name):
    module = MODULES[name][0](4)
    pos_grads, neg_grads = torch.zeros(2, 4, dtype=torch.float64)
    for seed in range(3):
        logits, labels = problem(name, num_rows=20, seed=seed)
        (grad,) = torch.autograd.grad(pay(module, logits, labels).sum(), logits)
        is_positive = labels[:, None] == torch.arange(4)
        pos_grads += (grad[:, :4].abs() * is_positive).sum(dim=0)
        neg_grads += (grad[:, :4].abs() * ~is_positive).sum(dim=0)
        torch.testing.assert_close(module.pos_grads, pos_grads)
        torch.testing.assert_close(module.neg_grads, neg_grads)


def test_a_class_without_positives_is_left_alone_by_eqlv2_and_focused_by_efl():
    module, plain = EQLv2Loss(2), EQLv2Loss(2)
    logits, labels = torch.zeros(6, 3), torch.tensor([0, 0, 0, 0, 0, 2])
    pay(module, logits, labels)
    assert module.ratios(100.0)[1] == 0
    assert pay(module, logits, labels).sum() < pay(plain, logits, labels).sum() * 0.9
    module = EqualizedFocalLoss(2)
    pay(module, logits[:, :2], labels)
    torch.testing.assert_close(module.gammas(logits)[1], torch.tensor(10.0))


@pytest.mark.parametrize("name", MODULES)
def test_gradcheck(name):
    # With the statistics fixed; the factors of seesaw depend on the scores, so without them.
    module = SeesawLoss(4, q=0) if name == "seesaw" else MODULES[name][0](4)
    logits, labels = problem(name)
    pay(module, logits, labels)
    module.eval()
    assert torch.autograd.gradcheck(lambda x: pay(module, x, labels), (logits,))


@pytest.mark.parametrize("name", MODULES)
def test_evaluation_counts_nothing_and_states_load(name):
    module, fresh = MODULES[name][0](4), MODULES[name][0](4)
    logits, labels = problem(name)
    pay(module, logits, labels)
    state = {key: value.clone() for key, value in module.state_dict().items()}
    before = pay(module.eval(), logits, labels)
    assert all(value.equal(state[key]) for key, value in module.state_dict().items())
    fresh.load_state_dict(state)
    torch.testing.assert_close(pay(fresh.eval(), logits, labels), before)
    fresh.load_state_dict({})


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize(
    "labels", [[], [-1, -1], [4, 4], [0, 0, 3], [2, 4, -1]], ids=["empty", "-", "n", "p", "pn-"]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("score", [-100.0, 100.0, 1e4])
def test_corner_cases_stay_finite_and_connected(name, labels, dtype, score):
    module, extra = MODULES[name][0](4), MODULES[name][1]
    labels = torch.tensor(labels, dtype=torch.int64)
    logits = torch.full((len(labels), 4 + extra), score, dtype=dtype)
    logits[:, 1] *= -1
    logits[labels < 0] = math.nan
    logits.requires_grad_()
    for _ in range(2):
        total = pay(module, logits, labels).sum()
        total.backward()
        assert total.dtype == torch.float32
        assert total.isfinite()
        assert logits.grad.isfinite().all()
        assert not logits.grad[labels < 0].any()
        assert all(buffer.isfinite().all() for buffer in module.buffers())


def test_bad_input():
    with pytest.raises(ValueError, match=r"scale is -1"):
        EqualizedFocalLoss(3, scale=-1)
    for name, (kind, extra) in MODULES.items():
        with pytest.raises(ValueError, match=r"must lie in \[-1, 4\]"):
            pay(kind(4), torch.zeros(1, 4 + extra), torch.tensor([5]))
        with pytest.raises(ValueError, match="columns"):
            pay(kind(5), *problem(name))
