"""Losses of an entry as functions of its logit, in Triton's language.

The dataclasses of the losses choose functions by :func:`imbdet.kernels.entrywise.fused_as`.

Each function takes the logit x, the target y of a positive, up to three numbers and a table with
its size. At z = sign x it computes the loss of a negative entry (sign = 1) or its mirror image.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from imbdet.kernels.entrywise import EntryLoss, fused_formula

# Below this e, log(1 + e) would lose the digits of e, all the more as a GPU approximates it.
SMALL = tl.constexpr(0.1)


@triton.jit
def softplus(z):
    e = tl.exp(-tl.abs(z))
    series = e * (1 - e * (1 / 2 - e * (1 / 3 - e * (1 / 4 - e * (1 / 5 - e / 6)))))
    return tl.maximum(z, 0.0) + tl.where(e < SMALL, series, tl.log(1 + e))


@triton.jit
def sigmoid(z):
    e = tl.exp(-tl.abs(z))
    return tl.where(z >= 0, 1.0, e) / (1 + e)


@triton.jit
def cross_entropy_value(x, y, sign, weight, c, table, size):
    return weight * softplus(sign * x)


@triton.jit
def cross_entropy_grad(x, y, sign, weight, c, table, size):
    return sign * weight * sigmoid(sign * x)


@triton.jit
def focal_value(x, y, sign, weight, gamma, table, size):
    # sigmoid(z)^gamma = exp(-gamma softplus(-z))
    z = sign * x
    return weight * tl.exp(-gamma * softplus(-z)) * softplus(z)


@triton.jit
def focal_grad(x, y, sign, weight, gamma, table, size):
    z = sign * x
    slope = gamma * sigmoid(-z) * softplus(z) + sigmoid(z)
    return sign * weight * tl.exp(-gamma * softplus(-z)) * slope


@triton.jit
def detached_focal_grad(x, y, sign, weight, gamma, table, size):
    z = sign * x
    return sign * weight * tl.exp(-(gamma + 1) * softplus(-z))


@triton.jit
def distance(x, y):
    return (1 - y) * sigmoid(x) - y * sigmoid(-x)


@triton.jit
def soft_cross_entropy(x, y):
    return (1 - y) * softplus(x) + y * softplus(-x)


@triton.jit
def power(base, exponent):
    """base^exponent of a base >= 0; 0^0 is 1."""
    positive = tl.exp(exponent * tl.log(tl.maximum(base, 1e-37)))
    return tl.where(base > 0, positive, tl.where(exponent == 0, 1.0, 0.0))


@triton.jit
def quality_focal_value(x, y, beta, weight, c, table, size):
    return weight * power(tl.abs(distance(x, y)), beta) * soft_cross_entropy(x, y)


@triton.jit
def quality_focal_grad(x, y, beta, weight, c, table, size):
    d = distance(x, y)
    slope = sigmoid(x) * sigmoid(-x) * soft_cross_entropy(x, y)
    slope = tl.where(d == 0, 0.0, slope / tl.where(d == 0, 1.0, d))
    return weight * power(tl.abs(d), beta) * (d + beta * slope)


@triton.jit
def varifocal_value(x, y, a, b, c, table, size):
    return y * soft_cross_entropy(x, y)


@triton.jit
def varifocal_grad(x, y, a, b, c, table, size):
    return y * distance(x, y)


@triton.jit
def bin_of(norm, num_bins):
    """Bin of a gradient's norm in [0, 1]; the last one includes 1."""
    return tl.maximum(tl.minimum((norm * num_bins).to(tl.int32), num_bins - 1), 0)


@triton.jit
def weight_of_bin(norm, table, size):
    return tl.load(table + bin_of(norm, size)).to(tl.float32)


@triton.jit
def harmonized_value(x, y, sign, b, c, table, size):
    z = sign * x
    return weight_of_bin(sigmoid(z), table, size) * softplus(z)


@triton.jit
def harmonized_grad(x, y, sign, b, c, table, size):
    norm = sigmoid(sign * x)
    return sign * weight_of_bin(norm, table, size) * norm


class FusedEntry(NamedTuple):
    """An entry loss as a kernel takes it.

    Attributes:
        value: function of the loss.
        grad: function of its derivative with respect to the logit.
        numbers: three numbers for these, unused ones 0.
        table: further numbers, or None.
    """

    value: Callable[..., Any]
    grad: Callable[..., Any]
    numbers: tuple[float, float, float]
    table: Tensor | None


_FUNCTIONS = {
    "cross_entropy": (cross_entropy_value, cross_entropy_grad),
    "focal": (focal_value, focal_grad),
    "detached_focal": (focal_value, detached_focal_grad),
    "quality_focal": (quality_focal_value, quality_focal_grad),
    "varifocal": (varifocal_value, varifocal_grad),
    "harmonized": (harmonized_value, harmonized_grad),
}


def fused_entry(entry: EntryLoss) -> FusedEntry | None:
    """The functions and numbers of an entry loss; None if there are none for it.

    Exponents and weights must be numbers: there is no kernel for those of each class.
    """
    formula = fused_formula(entry)
    if formula is None:
        return None
    numbers = [getattr(entry, name) for name in formula.numbers]
    if any(isinstance(number, Tensor) for number in numbers):
        return None
    first, second, third, *_ = (*map(float, numbers), 0.0, 0.0, 0.0)
    table = getattr(entry, formula.table) if formula.table else None
    return FusedEntry(*_FUNCTIONS[formula.name], (first, second, third), table)
