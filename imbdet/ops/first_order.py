"""Backward passes written by hand, which have no second derivative and raise an error for it."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch

T = TypeVar("T")


def first_order(backward: Callable[..., T]) -> Callable[..., T]:
    """Make ``backward`` of a :class:`torch.autograd.Function` refuse to be differentiated again.

    PyTorch's ``once_differentiable`` does so only if the incoming gradient requires a gradient
    itself: that of a plain sum does not, and the second derivative would silently lack a part.

    Raises:
        RuntimeError: the gradient is computed with ``create_graph=True``.
    """

    @functools.wraps(backward)
    def checked(ctx: Any, *grads: Any) -> T:
        if torch.is_grad_enabled():  # only create_graph=True enables it in a backward pass
            raise RuntimeError(
                "this loss computes its gradient by hand and has no second derivative: call "
                "backward or autograd.grad without create_graph=True"
            )
        return backward(ctx, *grads)

    return checked
