"""The gradient of a loss by a layer, from what the layer takes and the gradients of its outputs."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def layer_gradient(
    layer: nn.Conv2d | nn.Linear, inputs: Sequence[Tensor], output_gradients: Sequence[Tensor]
) -> Tensor:
    """The sum of outer(dL/dy, [x, 1]) over all rows: exact, whatever lies before the layer.

    A row of a convolution is a place, and x what its kernel covers there.

    Args:
        layer: with weights and biases.
        inputs: that it is called with, one after the other, as the levels of a feature pyramid.
        output_gradients: dL/dy of what it returns for each.

    Returns:
        (O, D + 1) for O outputs, the bias last.
    """
    with torch.enable_grad():
        outputs = [layer(x.detach()) for x in inputs]
    assert layer.bias is not None
    parameters = (layer.weight, layer.bias)
    weight, bias = torch.autograd.grad(outputs, parameters, list(output_gradients))
    return torch.cat([weight.flatten(1), bias[:, None]], dim=1)


def by_class(gradient: Tensor, num_columns: int) -> Tensor:
    """(C, Q) what belongs to each column of logits.

    Args:
        gradient: (O, D + 1) of a layer whose outputs are C logits, or those of several priors, one
            prior after the other.
        num_columns: C.
    """
    of_priors: Tensor = gradient.unflatten(0, (-1, num_columns))
    return of_priors.transpose(0, 1).flatten(1)
