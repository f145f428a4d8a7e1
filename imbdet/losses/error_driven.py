"""Ranking losses have no useful derivative: their gradient is set by the error instead.

A ranking loss says what it is worth, how strongly each positive is pulled up, and with what weight
each positive pushes the negatives down: a negative with score s_j receives sum_i w_i H(s_j - p_i).
Everything else is the same for all of them and stands here.

Shape shorthand: M samples, K classes, P positives, L losses that share one set of logits, G
segments with a ranking of their own: images, or one of all.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from imbdet.losses.chunks import iterate_chunks
from imbdet.losses.grid import Grid, Parts, make_grid
from imbdet.losses.labels import check_labels, positive_entries, rank_segments
from imbdet.losses.steps import Steps


class Ranking(NamedTuple):
    """The positives of a batch among the entries of their segment.

    Attributes:
        steps: the positives' step functions.
        segments: (M, 1) int64 in [0, G), or None if there is one segment.
        grid: looks up the buckets of many logits; None if they are searched.
        pos_entries: rows (P,) and classes (P,) of the positives.
        positives: (P,) float64, sum_k H(p_k - p_i) over the positives, i itself included.
        negatives: (P,) float64, FP_i = sum_j H(s_j - p_i) over the negatives, >= 0. A difference of
            large sums: it may be 1e-10 where the truth is 0.
        num_negatives: (P,) float64, |N| of the segment.
        shares: (P,) float64, weights of the positives in the mean over segments of the means over
            positives; NaN if a logit that counts is.
        poison: scalar float64, NaN if a logit that counts is, otherwise 0.
    """

    steps: Steps
    segments: Tensor | None
    grid: Grid | None
    pos_entries: tuple[Tensor, Tensor]
    positives: Tensor
    negatives: Tensor
    num_negatives: Tensor
    shares: Tensor
    poison: Tensor

    @property
    def rank_among_positives(self) -> Tensor:
        """(P,) 1 + sum_{k != i} H(p_k - p_i): a sample's own pair counts fully."""
        return self.positives - self.steps.at_zero + 1


class Update(NamedTuple):
    """A loss and its error-driven update, before the mean over the positives.

    Attributes:
        errors: (P,) float64, whose mean is the loss.
        pos_grads: (P,) float64, gradient of each positive's logit.
        neg_weights: (P,) float64 w_i; a negative's gradient is sum_i w_i H(s_j - p_i).
    """

    errors: Tensor
    pos_grads: Tensor
    neg_weights: Tensor


@torch.no_grad()
def rank(
    pred_logits: Tensor, gt_labels: Tensor, delta: float, image_idxs: Tensor | None = None
) -> Ranking:
    """Compare every entry of a batch with every positive of its segment.

    Args:
        pred_logits: (M, K) logits.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored. A positive is the entry
            of a row and its label; all other entries of rows that are not ignored are negatives.
        delta: half the width of the step, >= 0.
        image_idxs: (M,) int64, whose image a row is: each has a ranking of its own. None is one
            ranking of all.
    """
    check_labels(pred_logits, gt_labels)
    segments, num_segments = rank_segments(gt_labels, image_idxs)
    segments = None if num_segments == 1 else segments[:, None]
    pos_entries = positive_entries(gt_labels, pred_logits.shape[1])
    pos_scores = pred_logits[pos_entries].double()
    is_finite = pos_scores.isfinite()
    pos_segments = None if segments is None else segments[pos_entries[0], 0]
    steps = Steps(pos_scores.where(is_finite, 0), delta, pos_segments, num_segments)
    grid = _grid(steps, pred_logits)
    histogram = _histogram(steps, grid, _ranked_parts(pred_logits, gt_labels, segments))
    is_broken = histogram.isnan().any() | ~is_finite.all()
    poison = histogram.new_zeros(()).masked_fill(is_broken, math.nan)
    num_positives = torch.bincount(steps.pos_segments, minlength=num_segments).double()
    own_positives = num_positives[steps.pos_segments]
    positives = steps.sum_over_pairs()
    return Ranking(
        steps,
        segments,
        grid,
        pos_entries,
        positives=positives,
        negatives=(steps.sum_over_scores(histogram) - positives).clamp(min=0),
        num_negatives=steps.segment_weight(histogram) - own_positives,
        shares=1 / (own_positives * (num_positives > 0).sum()) + poison,
        poison=poison,
    )


def apply_updates(
    pred_logits: Tensor, gt_labels: Tensor, ranking: Ranking, updates: list[Update]
) -> list[Tensor]:
    """Turn updates into scalar losses whose gradients they are.

    Returns:
        For each update the mean of its errors over the positives of a segment, averaged over the
        segments that have positives; float32 or wider, each with its own gradient of the logits.
        Without positives all are zeros that stay connected to the logits.
    """
    errors, pos_grads, neg_weights = (
        torch.stack(parts) * ranking.shares for parts in zip(*updates, strict=True)
    )
    losses = errors.sum(dim=1) + ranking.poison
    losses = _ErrorDriven.apply(pred_logits, gt_labels, ranking, losses, pos_grads, neg_weights)
    return list(losses.unbind())


def _grid(steps: Steps, pred_logits: Tensor) -> Grid | None:
    # float64 logits are finer than the grid; other devices search faster than they look up.
    fits = pred_logits.device.type == "cpu" and pred_logits.dtype != torch.float64
    return make_grid(steps, pred_logits) if fits else None


def _ranked_parts(pred_logits: Tensor, gt_labels: Tensor, segments: Tensor | None) -> Parts:
    """Logits and segments of the rows that are not ignored, positives included, in parts."""
    for chunk in iterate_chunks(pred_logits, gt_labels):
        part = chunk.logits, None if segments is None else segments[chunk.rows]
        if chunk.is_ignored.any():
            part = tuple(None if rows is None else rows[~chunk.is_ignored] for rows in part)
        yield part


def _histogram(steps: Steps, grid: Grid | None, parts: Parts) -> Tensor:
    if grid is not None:
        return grid.histogram(parts)
    zeros = steps.ends.new_zeros(2, steps.num_buckets)
    return sum((steps.histogram(*part) for part in parts), start=zeros)


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
        steps, segments, grid = ctx.ranking.steps, ctx.ranking.segments, ctx.ranking.grid
        grad_logits, grad_losses = torch.empty_like(pred_logits), grad_losses.double()
        push = steps.sum_over_positives(grad_losses @ neg_weights)
        if grid is not None:
            push = grid.tabulate(push)
        for chunk in iterate_chunks(pred_logits, gt_labels):
            grads = push.at(chunk.logits, None if segments is None else segments[chunk.rows])
            if chunk.is_ignored.any():
                grads.masked_fill_(chunk.is_ignored[:, None], 0)
            grad_logits[chunk.rows] = grads
        grad_logits[ctx.ranking.pos_entries] = (grad_losses @ pos_grads).to(grad_logits.dtype)
        return grad_logits, None, None, None, None, None
