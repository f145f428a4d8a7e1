"""Authentic smooth L1: smooth everywhere, so that its gradient norm distinguishes small errors.

Li et al., "Gradient Harmonized Single-stage Detector", AAAI 2019, https://arxiv.org/abs/1811.05181
"""

import torch
from torch import Tensor

from imbdet.losses.reduction import reduce_losses
from imbdet.methods import BOX_LOSSES
from imbdet.methods.options import Positive
from imbdet.ops.paired import paired


@BOX_LOSSES.register(
    "asl1",
    "Authentic smooth L1 distance of the deltas.",
    "Li et al., AAAI 2019, https://arxiv.org/abs/1811.05181",
)
def asl1_loss(
    pred_deltas: Tensor,
    target_deltas: Tensor,
    *,
    mu: Positive = 0.02,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """sqrt(d^2 + mu^2) - mu, summed over the coordinates.

    Args:
        pred_deltas: (P, 4) predicted deltas.
        target_deltas: (P, 4) deltas to reach.
        mu: width of the round part, in deltas; towards 0 the loss becomes L1.
        weights: (P,) factors of the samples, or None.
        reduction: "none" or "sum".

    Returns:
        (P,) losses or their sum.
    """
    losses, _ = asl1(pred_deltas, target_deltas, mu)
    return reduce_losses(losses.sum(dim=1), weights, reduction)


def asl1(pred_deltas: Tensor, target_deltas: Tensor, mu: float) -> tuple[Tensor, Tensor]:
    """Losses and gradient norms of the coordinates, in float32 at least.

    Returns:
        (P, 4) losses; (P, 4) norms |d| / sqrt(d^2 + mu^2) in [0, 1], detached.
    """
    pred_deltas, target_deltas = paired(pred_deltas, target_deltas)
    differences = pred_deltas - target_deltas
    # A width that is 0 in this precision would leave the gradient at 0 undefined.
    mu = max(mu, torch.finfo(differences.dtype).tiny)
    roots = differences.hypot(differences.new_tensor(mu))  # squares would overflow
    # Equal to roots - mu, but without cancellation, so that small losses keep their digits.
    losses = differences * (differences / (roots + mu))  # eq. 17
    return losses, (differences.abs() / roots).detach()
