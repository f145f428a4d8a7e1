"""Error-driven updates: the gradients of ranking losses, whose derivatives are useless.

A ranking loss defines its value, the gradient of each positive's logit, and the weight w_i of each
positive in those of the negatives: the gradient of a negative's logit s_j, whose sample weighs u_j,
is u_j sum_i w_i H(s_j - p_i). All the rest is common to the ranking losses and is done here, such
as the weights of the positives.

Shape shorthand: P positives, L losses that share one set of logits; for the ranking itself see
:mod:`imbdet.kernels.ranking`.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from imbdet.kernels.ranking import Ranking
from imbdet.ops.first_order import first_order
from imbdet.ops.precision import wide_dtype


class Update(NamedTuple):
    """A loss and its error-driven update, before the weighted mean over the positives.

    Attributes:
        errors: (P,) float64 errors, whose weighted mean is the loss.
        pos_grads: (P,) float64 gradients of the positives' logits.
        neg_weights: (P,) float64 w_i; a negative's gradient is u_j sum_i w_i H(s_j - p_i).
    """

    errors: Tensor
    pos_grads: Tensor
    neg_weights: Tensor


def apply_updates(pred_logits: Tensor, ranking: Ranking, updates: list[Update]) -> list[Tensor]:
    """Turn updates into scalar losses whose gradients they are.

    Returns:
        For each update the weighted mean of its errors over the positives of a segment, averaged
        over the segments that have positives; float32 or wider, each with a gradient of its own
        with respect to this process's logits. Without positives all are zeros connected to the
        logits.
    """
    errors, pos_grads, neg_weights = (
        torch.stack(parts) * ranking.shares for parts in zip(*updates, strict=True)
    )
    losses = errors.sum(dim=1) + ranking.poison
    losses = _ErrorDriven.apply(pred_logits, ranking, losses, pos_grads, neg_weights)
    return list(losses.unbind())


class _ErrorDriven(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        pred_logits: Tensor,
        ranking: Ranking,
        losses: Tensor,
        pos_grads: Tensor,
        neg_weights: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(pred_logits, pos_grads, neg_weights)
        ctx.ranking = ranking
        return losses.to(wide_dtype(pred_logits.dtype))

    @staticmethod
    @first_order
    def backward(ctx: Any, grad_losses: Tensor) -> tuple[Tensor | None, ...]:
        pred_logits, pos_grads, neg_weights = ctx.saved_tensors
        ranking, pool = ctx.ranking, ctx.ranking.pool
        grad_losses = pool.num_processes * grad_losses.double()  # see imbdet.ops.exchange
        lines = ranking.steps.sum_over_positives(grad_losses @ neg_weights)
        grad_logits = ranking.sums.push(lines, pred_logits, ranking.rows)
        pos_grads = (grad_losses @ pos_grads)[pool.own]
        grad_logits[ranking.pos_entries] = pos_grads.to(grad_logits.dtype)
        return grad_logits, None, None, None, None
