"""Ranking losses have no useful derivative: their gradient is set by the error instead.

A ranking loss says what it is worth, how strongly each positive is pulled up, and with what weight
each positive pushes the negatives down: a negative with score s_j receives sum_i w_i H(s_j - p_i).
Everything else is the same for all of them and stands here.

Shape shorthand: M samples, K classes, P positives, L losses that share one set of logits.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from imbdet.losses.chunks import iterate_chunks
from imbdet.losses.grid import Grid
from imbdet.losses.labels import check_labels, positive_entries
from imbdet.losses.steps import Steps


class Ranking(NamedTuple):
    """The positives of a batch among its negatives.

    Attributes:
        steps: the positives' step functions.
        finder: finds the buckets of the logits: the steps themselves, or a faster look-up.
        pos_entries: rows (P,) and classes (P,) of the positives.
        positives: (P,) float64, sum_k H(p_k - p_i) over the positives, i itself included.
        negatives: (P,) float64, FP_i = sum_j H(s_j - p_i) over the negatives, >= 0. A difference of
            large sums: it may be 1e-10 where the truth is 0.
        num_negatives: scalar float64, |N|; 0 if there is no positive to compare with.
    """

    steps: Steps
    finder: Steps | Grid
    pos_entries: tuple[Tensor, Tensor]
    positives: Tensor
    negatives: Tensor
    num_negatives: Tensor

    @property
    def rank_among_positives(self) -> Tensor:
        """(P,) 1 + sum_{k != i} H(p_k - p_i): a sample's own pair counts fully."""
        return self.positives - self.steps.at_zero + 1


class Update(NamedTuple):
    """A loss and its error-driven update, before division by the number of positives.

    Attributes:
        errors: (P,) float64, whose mean is the loss.
        pos_grads: (P,) float64, gradient of each positive's logit.
        neg_weights: (P,) float64 w_i; a negative's gradient is sum_i w_i H(s_j - p_i).
    """

    errors: Tensor
    pos_grads: Tensor
    neg_weights: Tensor


@torch.no_grad()
def rank(pred_logits: Tensor, gt_labels: Tensor, delta: float) -> Ranking:
    """Compare every entry of a batch with every positive.

    Args:
        pred_logits: (M, K) logits.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored. A positive is the entry
            of a row and its label; all other entries of rows that are not ignored are negatives.
        delta: half the width of the step, >= 0.
    """
    check_labels(pred_logits, gt_labels)
    pos_entries = positive_entries(gt_labels, pred_logits.shape[1])
    steps = Steps(pred_logits[pos_entries], delta)
    positives = steps.sum_over_pairs()
    finder = _bucket_finder(steps, pred_logits)
    histogram = _histogram(finder, steps, pred_logits, gt_labels)
    negatives = (steps.sum_over_scores(histogram) - positives).clamp(min=0)
    num_negatives = histogram[0].sum() - len(positives)
    return Ranking(steps, finder, pos_entries, positives, negatives, num_negatives)


def apply_updates(
    pred_logits: Tensor, gt_labels: Tensor, ranking: Ranking, updates: list[Update]
) -> list[Tensor]:
    """Turn updates into scalar losses whose gradients they are.

    Returns:
        For each update the mean of its errors, float32 or wider, each with its own gradient of the
        logits. Without positives all are zeros that stay connected to the logits.
    """
    num_positives = max(len(ranking.steps.pos_scores), 1)
    errors, pos_grads, neg_weights = (
        torch.stack(parts) / num_positives for parts in zip(*updates, strict=True)
    )
    losses = _ErrorDriven.apply(
        pred_logits, gt_labels, ranking, errors.sum(dim=1), pos_grads, neg_weights
    )
    return list(losses.unbind())


def _histogram(
    finder: Steps | Grid, steps: Steps, pred_logits: Tensor, gt_labels: Tensor
) -> Tensor:
    """Histogram of all entries that are not ignored, positives included."""
    total = steps.ends.new_zeros(2, len(steps.ends) + 1)
    if len(steps.ends) > 0:
        for chunk in iterate_chunks(pred_logits, gt_labels):
            is_ignored = chunk.is_ignored
            logits = chunk.logits[~is_ignored] if is_ignored.any() else chunk.logits
            total += finder.histogram(logits)
    return total


def _bucket_finder(steps: Steps, pred_logits: Tensor) -> Steps | Grid:
    # float64 logits are finer than the grid; other devices search faster than they look up.
    fits = pred_logits.device.type == "cpu" and pred_logits.dtype != torch.float64
    return Grid(steps) if fits and len(steps.ends) > 0 else steps


class _ErrorDriven(torch.autograd.Function):
    @staticmethod
    def forward(ctx, pred_logits, gt_labels, ranking, losses, pos_grads, neg_weights):
        ctx.save_for_backward(pred_logits, gt_labels, pos_grads, neg_weights)
        ctx.ranking = ranking
        return losses.to(torch.promote_types(pred_logits.dtype, torch.float32))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_losses):
        pred_logits, gt_labels, pos_grads, neg_weights = ctx.saved_tensors
        steps = ctx.ranking.steps
        if len(steps.ends) == 0:
            return torch.zeros_like(pred_logits), None, None, None, None, None
        grad_logits, grad_losses = torch.empty_like(pred_logits), grad_losses.double()
        push = steps.sum_over_positives(grad_losses @ neg_weights)
        for chunk in iterate_chunks(pred_logits, gt_labels):
            grads = ctx.ranking.finder.evaluate(push, chunk.logits)
            grad_logits[chunk.rows] = grads.masked_fill_(chunk.is_ignored[:, None], 0)
        grad_logits[ctx.ranking.pos_entries] = (grad_losses @ pos_grads).to(grad_logits.dtype)
        return grad_logits, None, None, None, None, None
