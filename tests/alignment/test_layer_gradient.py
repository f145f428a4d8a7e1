"""The gradient of a last layer, against its definition and against autograd."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from imbdet.alignment.layer_gradient import by_class, layer_gradient


def conv_case():
    """Three priors of two classes, on two levels, of two images."""
    layer = nn.Conv2d(4, 6, kernel_size=3, padding=1)
    return layer, [torch.randn(2, 4, 5, 3), torch.randn(2, 4, 2, 2)]


def linear_case():
    return nn.Linear(4, 6), [torch.randn(7, 4)]


@pytest.fixture(params=[conv_case, linear_case], ids=["conv", "linear"])
def case(request):
    torch.manual_seed(0)
    layer, inputs = request.param()
    return layer, inputs, [torch.randn_like(layer(x)) for x in inputs]


def features_of(layer, x):
    """(rows, D) the input of the layer in each row."""
    if isinstance(layer, nn.Linear):
        return x
    return F.unfold(x, layer.kernel_size, padding=layer.padding).transpose(1, 2).flatten(0, 1)


def rows_of(gradient):
    """(rows, O) the gradient of the outputs of each row."""
    return gradient if gradient.dim() == 2 else gradient.flatten(2).transpose(1, 2).flatten(0, 1)


def test_it_is_the_sum_of_outer_products(case):
    layer, inputs, gradients = case
    expected = 0
    for x, gradient in zip(inputs, gradients, strict=True):
        for features, own in zip(features_of(layer, x), rows_of(gradient), strict=True):
            expected += torch.outer(own, torch.cat([features, torch.ones(1)]))
    torch.testing.assert_close(
        layer_gradient(layer, inputs, gradients), expected, atol=1e-5, rtol=1e-5
    )


def test_it_is_the_gradient_of_a_whole_network(case):
    layer, inputs, _ = case
    outputs = [layer(x.tanh()) for x in inputs]
    loss = sum((y.sigmoid() ** 2).sum() for y in outputs)
    expected = torch.autograd.grad(loss, [layer.weight, layer.bias, *outputs])
    found = layer_gradient(layer, [x.tanh() for x in inputs], expected[2:])
    torch.testing.assert_close(found[:, :-1], expected[0].flatten(1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[:, -1], expected[1], atol=1e-5, rtol=1e-5)


def test_rows_without_gradient_change_nothing(case):
    layer, inputs, gradients = case
    more = [*inputs, torch.randn_like(inputs[0])], [*gradients, torch.zeros_like(gradients[0])]
    torch.testing.assert_close(
        layer_gradient(layer, *more), layer_gradient(layer, inputs, gradients)
    )


def test_each_class_has_the_outputs_of_all_priors():
    gradient = torch.arange(6.0)[:, None] * torch.ones(6, 3)  # priors a, b, c of classes 0, 1
    expected = [[0.0] * 3 + [2.0] * 3 + [4.0] * 3, [1.0] * 3 + [3.0] * 3 + [5.0] * 3]
    assert by_class(gradient, 2).tolist() == expected
