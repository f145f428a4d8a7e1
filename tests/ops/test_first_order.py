"""Differentiating gradients that are computed by hand is an error."""

import pytest
import torch

from tests.losses.classification import CLS_LOSSES
from tests.losses.ranking_problems import random_problem

OF_AUTOGRAD = {"softmax"}


@pytest.mark.parametrize("name", CLS_LOSSES)
def test_a_second_derivative_is_right_or_refused(name):
    logits, labels, quality = random_problem(30, 3, 0, "random")
    logits, quality = logits.double().detach().requires_grad_(), quality.detach()

    def total(logits):
        return sum(values.sum() for values in CLS_LOSSES[name](logits, labels, quality))

    if name in OF_AUTOGRAD:
        assert torch.autograd.gradgradcheck(total, logits)
        return
    for value in (total(logits), total(logits) ** 2):  # also where the incoming gradient has one
        with pytest.raises(RuntimeError, match="no second derivative"):
            torch.autograd.grad(value, logits, create_graph=True)
    (grad,) = torch.autograd.grad(total(logits), logits)
    assert grad.any()
    assert not grad.requires_grad
