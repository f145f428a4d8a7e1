"""The gradient of a loss by a layer, from the layer's inputs and the gradients of its outputs."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def layer_gradient(
    layer: nn.Conv2d | nn.Linear, inputs: Sequence[Tensor], output_gradients: Sequence[Tensor]
) -> Tensor:
    """The sum of outer(dL/dy, [x, 1]) over all rows: exact, whatever lies before the layer.

    A row of a convolution is a position, and x the values that its kernel covers there.

    Args:
        layer: layer with weights and biases.
        inputs: inputs of its calls, such as the levels of a feature pyramid.
        output_gradients: dL/dy of the output of each call.

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
    """(C, Q) the part of a gradient that belongs to each column of logits.

    Args:
        gradient: (O, D + 1) gradient of a layer whose outputs are the C logits of one or several
            priors, prior after prior.
        num_columns: number C of columns of logits.
    """
    of_priors: Tensor = gradient.unflatten(0, (-1, num_columns))
    return of_priors.transpose(0, 1).flatten(1)
