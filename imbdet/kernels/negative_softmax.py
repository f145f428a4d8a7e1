"""A softmax of the scores over the negative entries of each row, without a matrix of scores.

Neither targets nor temporaries have the size of the logits; the gradient is computed in the
backward pass.

Shape shorthand: M rows, K classes, P positives.
"""

import math
from typing import Any, Protocol

import torch
from torch import Tensor

from imbdet.kernels.backend import is_fused
from imbdet.kernels.chunks import Chunk, iterate_chunks
from imbdet.ops.first_order import first_order


def negative_softmax(
    pred_logits: Tensor,
    gt_labels: Tensor,
    pos_entries: tuple[Tensor, Tensor],
    temperature: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The softmax of p / temperature over the negatives of each row, p being the sigmoid scores.

    Args:
        pred_logits: (M, K) logits.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        pos_entries: (P,) rows and classes of the positives.
        temperature: temperature, above 0.

    Returns:
        In float64, the (M,) log-sum-exps, -inf in rows without negatives, the (M,) means of p under
        the softmax, 0 in such rows, and the (P,) logits of the positives: indexing them outside
        would need a second gradient of the size of the logits. All are differentiable once.
    """
    found: tuple[Tensor, Tensor, Tensor] = _NegativeSoftmax.apply(
        pred_logits, gt_labels, *pos_entries, temperature
    )
    return found


class SoftmaxKernel(Protocol):
    """Computes the softmax of each row's negatives, and the gradient of the logits.

    Arguments are those of :func:`negative_softmax`, its results and their gradients.
    """

    def reduce(self, pred_logits: Tensor, gt_labels: Tensor) -> tuple[Tensor, Tensor]:
        """(M,) float64 log-sum-exps and means."""
        ...

    def grads(
        self,
        pred_logits: Tensor,
        gt_labels: Tensor,
        masses: Tensor,
        means: Tensor,
        grad_masses: Tensor,
        grad_means: Tensor,
    ) -> Tensor:
        """(M, K) gradients of the logits, in their type; those of positives may be anything."""
        ...


class ChunkedSoftmax:
    """Computes chunk after chunk, by PyTorch's operations; see :class:`SoftmaxKernel`."""

    def __init__(self, temperature: float):
        self.temperature = temperature

    def reduce(self, pred_logits: Tensor, gt_labels: Tensor) -> tuple[Tensor, Tensor]:
        masses = pred_logits.new_empty(len(pred_logits), dtype=torch.float64)
        means = torch.empty_like(masses)
        for chunk in iterate_chunks(pred_logits, gt_labels):
            scores, highest, weights = self._weigh(chunk)
            total = weights.sum(dim=1).double()
            is_empty = chunk.is_ignored | (total == 0)
            mass = highest.double() / self.temperature + total.log()
            masses[chunk.rows] = mass.masked_fill_(is_empty, -math.inf)
            means[chunk.rows] = ((weights * scores).sum(dim=1) / total).masked_fill_(is_empty, 0)
        return masses, means

    def grads(
        self,
        pred_logits: Tensor,
        gt_labels: Tensor,
        masses: Tensor,
        means: Tensor,
        grad_masses: Tensor,
        grad_means: Tensor,
    ) -> Tensor:
        grad_logits = torch.empty_like(pred_logits)
        # d mass / dp_j = q_j / temperature,    d mean / dp_j = q_j (1 + (p_j - mean) / temperature)
        slopes = grad_means / self.temperature
        intercepts = grad_masses / self.temperature + grad_means
        for chunk in iterate_chunks(pred_logits, gt_labels):
            scores, _, weights = self._weigh(chunk)
            total = weights.sum(dim=1)
            mean, slope, intercept = (
                rows[chunk.rows, None].to(scores.dtype) for rows in (means, slopes, intercepts)
            )
            grads = (scores - mean).mul_(slope).add_(intercept)
            grads.mul_(weights.div_(total[:, None])).mul_(scores).mul_(1 - scores)
            grad_logits[chunk.rows] = grads.masked_fill_(chunk.is_ignored[:, None], 0)
        return grad_logits

    def _weigh(self, chunk: Chunk) -> tuple[Tensor, Tensor, Tensor]:
        """Negatives' p (C, K), highest p (C,), weights exp((p - highest) / temperature) (C, K)."""
        scores = torch.sigmoid(chunk.logits)
        scores[chunk.pos_entries] = -1  # below any negative
        highest = scores.amax(dim=1)
        weights = (scores - highest[:, None]).div_(self.temperature).exp_()
        weights[chunk.pos_entries] = 0
        return scores, highest, weights


def _kernel(pred_logits: Tensor, temperature: float) -> SoftmaxKernel:
    if is_fused(pred_logits):
        from imbdet.kernels.fused.negative_softmax import FusedSoftmax  # Triton is not everywhere

        return FusedSoftmax(temperature)
    return ChunkedSoftmax(temperature)


class _NegativeSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        pred_logits: Tensor,
        gt_labels: Tensor,
        pos_rows: Tensor,
        pos_classes: Tensor,
        temperature: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.kernel = _kernel(pred_logits, temperature)
        masses, means = ctx.kernel.reduce(pred_logits, gt_labels)
        ctx.save_for_backward(pred_logits, gt_labels, pos_rows, pos_classes, masses, means)
        return masses, means, pred_logits[pos_rows, pos_classes].double()

    @staticmethod
    @first_order
    def backward(
        ctx: Any, grad_masses: Tensor, grad_means: Tensor, grad_pos_logits: Tensor
    ) -> tuple[Tensor | None, ...]:
        pred_logits, gt_labels, pos_rows, pos_classes, masses, means = ctx.saved_tensors
        grad_logits = ctx.kernel.grads(
            pred_logits, gt_labels, masses, means, grad_masses, grad_means
        )
        grad_logits[pos_rows, pos_classes] = grad_pos_logits.to(grad_logits.dtype)
        return grad_logits, None, None, None, None
