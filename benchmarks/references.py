"""References of the losses: the same numbers computed the usual way.

Labels here are foreground or background; no row is ignored, and there is a positive.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Entries(NamedTuple):
    """A batch as the published codes see it.

    Attributes:
        positives: (P,) scores of the positives.
        negatives: (N,) scores of the negatives that have a part in any step.
        is_relevant: (M, K) bool, which entries these negatives are.
        pos_entries: rows and classes of the positives.
    """

    positives: Tensor
    negatives: Tensor
    is_relevant: Tensor
    pos_entries: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, pred_logits: Tensor, gt_labels: Tensor, delta: float) -> "Entries":
        """Split detached logits (M, K) by labels (M,)."""
        is_positive, pos_entries = positives_of(pred_logits, gt_labels)
        positives = pred_logits[pos_entries]
        is_relevant = ~is_positive & (pred_logits >= positives.min() - delta)
        return cls(positives, pred_logits[is_relevant], is_relevant, pos_entries)

    def join(self, pos_grads: Tensor, neg_grads: Tensor) -> Tensor:
        """(M, K) gradient of the mean over the positives."""
        grads = torch.zeros_like(self.is_relevant, dtype=pos_grads.dtype)
        grads[self.is_relevant] = neg_grads
        grads[self.pos_entries] = pos_grads
        return grads / len(pos_grads)


class GivenGradient(torch.autograd.Function):
    """A loss whose gradient has been computed along with it."""

    @staticmethod
    def forward(ctx, pred_logits: Tensor, loss: Tensor, grads: Tensor) -> Tensor:
        ctx.save_for_backward(grads)
        return loss.clone()

    @staticmethod
    def backward(ctx, grad_loss: Tensor) -> tuple[Tensor, None, None]:
        (grads,) = ctx.saved_tensors
        return grad_loss * grads, None, None


def pair_loop_ap_loss(pred_logits: Tensor, gt_labels: Tensor, *, delta: float = 1.0) -> Tensor:
    """See :func:`imbdet.losses.ap_loss`: a loop over the positives, each compared with all."""
    entries = Entries.of(pred_logits.detach(), gt_labels, delta)
    positives, negatives = entries.positives, entries.negatives
    highest, precisions = positives.new_zeros(()), torch.zeros_like(positives)
    pos_grads, neg_grads = torch.zeros_like(positives), torch.zeros_like(negatives)
    for i in positives.argsort().tolist():
        above, wrong = (step(x - positives[i], delta) for x in (positives, negatives))
        rank_among_positives = above.sum() - above[i] + 1
        rank = rank_among_positives + wrong.sum()
        precision = rank_among_positives / rank
        highest = torch.maximum(highest, precision)
        precisions[i], pos_grads[i] = highest, highest - 1
        share = (1 - highest) / (1 - precision).clamp(min=torch.finfo(precision.dtype).eps)
        neg_grads += wrong * (share / rank)
    grads = entries.join(pos_grads, neg_grads)
    return GivenGradient.apply(pred_logits, 1 - precisions.mean(), grads)


def pair_loop_rank_sort_loss(
    pred_logits: Tensor, gt_labels: Tensor, ious: Tensor, *, delta: float = 0.5
) -> Tensor:
    """Sum of both parts of :func:`imbdet.losses.rank_sort_loss`, by a loop over the positives."""
    entries = Entries.of(pred_logits.detach(), gt_labels, delta)
    positives, negatives = entries.positives, entries.negatives
    errors = torch.zeros_like(positives)
    pos_grads, neg_grads = torch.zeros_like(positives), torch.zeros_like(negatives)
    for i in range(len(positives)):
        above, wrong = (step(x - positives[i], delta) for x in (positives, negatives))
        false_positives = wrong.sum()
        rank = above.sum() + false_positives
        right = above.where(ious >= ious[i], 0)
        missorted = above - right
        current, target = (x @ (1 - ious) / x.sum() for x in (above, right))
        sorting_error = current - target
        errors[i] = false_positives / rank + sorting_error
        pos_grads[i] -= errors[i]
        neg_grads += wrong / rank
        denominator = missorted.sum().clamp(min=torch.finfo(missorted.dtype).tiny)
        pos_grads += missorted * (sorting_error / denominator)
    return GivenGradient.apply(pred_logits, errors.mean(), entries.join(pos_grads, neg_grads))


class Buckets(NamedTuple):
    """Negatives between neighbouring positives, each run of them replaced by its mean.

    Yavuz et al., "Bucketed Ranking-based Losses for Efficient Training of Object Detectors", ECCV
    2024, https://arxiv.org/abs/2407.14204

    It equals the comparison of all pairs exactly if the step of no positive bends within a bucket:
    always for delta = 0 (no negative scoring as a positive does), otherwise if no p_i - delta or
    p_i + delta is between two scores of one bucket. Else it is an approximation.

    Attributes:
        positives: (P,) scores of the positives, from the highest to the lowest.
        pos_order: (P,) indices of the positives among the flat logits.
        neg_order: (N,) indices of the negatives that have a part in any step.
        bucket_idxs: (N,) bucket of each negative.
        means: (P + 1,) mean score of each bucket, that of an empty one below all steps.
        sizes: (P + 1,) number of negatives of each bucket.
    """

    positives: Tensor
    pos_order: Tensor
    neg_order: Tensor
    bucket_idxs: Tensor
    means: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, pred_logits: Tensor, gt_labels: Tensor, delta: float) -> "Buckets":
        """Sort detached logits (M, K) and cut them where the positives of labels (M,) are."""
        is_positive, _ = positives_of(pred_logits, gt_labels)
        scores, order = pred_logits.flatten().sort(descending=True)
        is_positive = is_positive.flatten()[order]
        positives, pos_order = scores[is_positive], order[is_positive]
        lowest = positives[-1] - delta
        is_relevant = ~is_positive & (scores >= lowest)
        bucket_idxs = is_positive.cumsum(dim=0)[is_relevant]
        sizes = torch.bincount(bucket_idxs, minlength=len(positives) + 1)
        ends = sizes.cumsum(dim=0)
        sums = F.pad(scores[is_relevant].cumsum(dim=0, dtype=torch.float64), (1, 0))
        means = ((sums[ends] - sums[ends - sizes]) / sizes).where(sizes > 0, lowest - 1)
        return cls(
            positives,
            pos_order,
            order[is_relevant],
            bucket_idxs,
            means.to(scores.dtype),
            sizes.to(scores.dtype),
        )

    def compare(self, delta: float) -> tuple[Tensor, Tensor]:
        """(P, P) steps of the positives k and (P + 1, P) of the buckets, for each positive i."""
        above, wrong = (
            step(x[:, None] - self.positives, delta) for x in (self.positives, self.means)
        )
        return above, wrong

    def join(self, pos_grads: Tensor, bucket_grads: Tensor, shape: torch.Size) -> Tensor:
        """(M, K) gradient of the mean over the positives."""
        grads = pos_grads.new_zeros(shape.numel())
        grads[self.neg_order] = bucket_grads[self.bucket_idxs]
        grads[self.pos_order] = pos_grads
        return grads.view(shape) / len(pos_grads)


def bucketed_ap_loss(pred_logits: Tensor, gt_labels: Tensor, *, delta: float = 1.0) -> Tensor:
    """See :func:`imbdet.losses.ap_loss`, without interpolation; and :class:`Buckets`."""
    buckets = Buckets.of(pred_logits.detach(), gt_labels, delta)
    above, wrong = buckets.compare(delta)
    false_positives = buckets.sizes @ wrong
    rank = above.sum(dim=0) - above.diagonal() + 1 + false_positives
    errors = false_positives / rank
    grads = buckets.join(-errors, wrong @ (1 / rank), pred_logits.shape)
    return GivenGradient.apply(pred_logits, errors.mean(), grads)


def bucketed_rank_sort_loss(
    pred_logits: Tensor, gt_labels: Tensor, ious: Tensor, *, delta: float = 0.5
) -> Tensor:
    """Sum of both parts of :func:`imbdet.losses.rank_sort_loss`; see :class:`Buckets`."""
    buckets = Buckets.of(pred_logits.detach(), gt_labels, delta)
    above, wrong = buckets.compare(delta)
    false_positives = buckets.sizes @ wrong
    num_above = above.sum(dim=0)
    rank = num_above + false_positives
    # The positives are sorted by their scores here.
    _, pos_entries = positives_of(pred_logits, gt_labels)
    places = pos_entries[0] * pred_logits.shape[1] + pos_entries[1]
    ious = ious[torch.searchsorted(places, buckets.pos_order)]
    right = above.where(ious[:, None] >= ious, 0)
    current, target = ((1 - ious) @ x / x.sum(dim=0) for x in (above, right))
    sorting_errors = current - target
    missorted = above - right
    shares = sorting_errors / missorted.sum(dim=0).clamp(min=torch.finfo(ious.dtype).tiny)
    errors = false_positives / rank + sorting_errors
    pos_grads = missorted @ shares - errors
    grads = buckets.join(pos_grads, wrong @ (1 / rank), pred_logits.shape)
    return GivenGradient.apply(pred_logits, errors.mean(), grads)


def positives_of(pred_logits: Tensor, gt_labels: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """(M, K) bool, and rows and classes: which entries of the logits are positives."""
    rows = (gt_labels < pred_logits.shape[1]).nonzero().squeeze(1)
    pos_entries = rows, gt_labels[rows]
    is_positive = torch.zeros_like(pred_logits, dtype=torch.bool)
    is_positive[pos_entries] = True
    return is_positive, pos_entries


def step(differences: Tensor, delta: float) -> Tensor:
    """H(x), see :mod:`imbdet.kernels.steps`."""
    if delta == 0:
        return (differences >= 0).to(differences.dtype)
    return (differences / (2 * delta) + 0.5).clamp(0, 1)


def one_hot_focal_loss(
    pred_logits: Tensor, gt_labels: Tensor, *, alpha: float = 0.25, gamma: float = 2.0
) -> Tensor:
    """Sum of the focal loss with a target for each entry, differentiated by autograd."""
    num_classes = pred_logits.shape[1]
    targets = F.one_hot(gt_labels, num_classes + 1)[:, :num_classes].to(pred_logits.dtype)
    scores = torch.sigmoid(pred_logits)
    cross_entropy = F.binary_cross_entropy_with_logits(pred_logits, targets, reduction="none")
    wrongness = scores * (1 - targets) + (1 - scores) * targets
    weights = alpha * targets + (1 - alpha) * (1 - targets)
    return (weights * wrongness**gamma * cross_entropy).sum()
