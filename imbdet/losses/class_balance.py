"""Weights of classes by the effective number of their samples.

Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019,
https://arxiv.org/abs/1901.05555
"""

import math

import torch
from torch import Tensor

from imbdet.losses.class_cross_entropy import check_class_numbers
from imbdet.methods.options import Momentum, checked
from imbdet.ops.precision import wide_dtype


@checked
def class_balanced_weights(counts: Tensor, *, beta: Momentum = 0.999) -> Tensor:
    """(1 - beta) / (1 - beta^n) of each class, scaled to the mean 1.

    The more samples a class has, the more of them repeat what others show: n samples are worth
    (1 - beta^n) / (1 - beta) different ones (eq. 2).

    Args:
        counts: (K,) number n of samples of each class; below 1 counts as 1.
        beta: degree to which samples repeat; 0 gives weights of 1, towards 1 they become 1 / n.

    Returns:
        (K,) weights > 0, float32 at least.

    Raises:
        ValueError: counts are no vector, or one is negative.
    """
    check_class_numbers("counts", counts, counts.numel())
    log_beta = math.log(beta) if beta > 0 else -math.inf
    # Equation 6, without the cancellation in 1 - beta^n of beta near 1.
    weights = 1 / -torch.expm1(counts.double().clamp(min=1) * log_beta)
    dtype = wide_dtype(counts.dtype)
    return (weights / weights.mean()).to(dtype)
