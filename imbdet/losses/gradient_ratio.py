"""Losses that balance, class by class, the gradients of positive and negative entries so far.

The ratio of a class is the sum of its positive entries' gradient norms over that of its negatives'.
A rare class has almost only negatives, hence a ratio near 0.

Tan et al., "Equalization Loss v2: A New Gradient Balance Approach for Long-tailed Object
Detection", CVPR 2021, https://arxiv.org/abs/2012.08548
Li et al., "Equalized Focal Loss for Dense Long-Tailed Object Detection", CVPR 2022,
https://arxiv.org/abs/2201.02593

Shape shorthand: M samples, K classes, P positives.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from imbdet.buffers import KeepsMissingBuffers
from imbdet.kernels.chunks import iterate_chunks
from imbdet.kernels.entrywise import EntryLoss, entry_weights, entrywise_loss
from imbdet.losses.class_cross_entropy import check_columns, weighted_sigmoid_cross_entropy
from imbdet.losses.focal import FocalEntry
from imbdet.losses.quality import QualityFocalPositive, soft_targets
from imbdet.ops.exchange import total
from imbdet.ops.labels import check_labels, positive_entries
from imbdet.ops.precision import at_least_float32
from imbdet.options import Balance, NonNegative, Positive, checked


class _GradientRatio(KeepsMissingBuffers):
    """Sums of gradient norms of the classes, as float64 buffers that a checkpoint keeps.

    Attributes:
        pos_grads: (K,) of positive entries.
        neg_grads: (K,) of negative entries.
    """

    pos_grads: Tensor
    neg_grads: Tensor

    def __init__(self, num_classes: int):
        super().__init__()
        self.num_classes = num_classes
        for name in ("pos_grads", "neg_grads"):
            self.register_buffer(name, torch.zeros(num_classes, dtype=torch.float64))

    def ratios(self, start: float) -> Tensor:
        """(K,) positive over negative gradients, float64; ``start`` of classes without any."""
        ratios = self.pos_grads / (self.neg_grads + 1e-10)
        return ratios.where(self.pos_grads + self.neg_grads > 0, start)

    @torch.no_grad()
    def collect(self, pos_grads: Tensor, neg_grads: Tensor, group: ProcessGroup | None) -> None:
        """Add the (K,) sums of a batch, of all processes of the group; in training alone."""
        if self.training:
            batch = total(torch.stack([pos_grads, neg_grads]).double(), group)
            self.pos_grads += batch[0]
            self.neg_grads += batch[1]


@checked
class EQLv2Loss(_GradientRatio):
    """Sigmoid cross-entropy that raises positives and lowers negatives of classes with few."""

    def __init__(
        self,
        num_classes: int,
        *,
        gamma: NonNegative = 12.0,
        mu: float = 0.8,
        alpha: NonNegative = 4.0,
    ):
        """Start with a ratio of 100, at which all weights are 1.

        Args:
            num_classes: K.
            gamma: slope of the weights over the ratio.
            mu: ratio at which negatives weigh one half.
            alpha: how much more positives weigh, at most, than 1.
        """
        super().__init__(num_classes)
        self.gamma, self.mu, self.alpha = gamma, mu, alpha

    def forward(
        self, pred_logits: Tensor, gt_labels: Tensor, group: ProcessGroup | None = None
    ) -> Tensor:
        """Weigh by the gradients so far, and then, in training, add those of the batch.

        Args:
            pred_logits: (M, K + 1) logits, the background last, as one more sigmoid, whose entries
                weigh 1. Scores: :func:`imbdet.losses.scores_beside_background`.
            gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
            group: processes whose gradients are added; None is this one alone.

        Returns:
            (M,) losses, 0 for ignored samples. The published code divides their sum by M.
        """
        check_labels(pred_logits, gt_labels, self.num_classes)
        check_columns(pred_logits, self.num_classes + 1)
        neg_weights = torch.sigmoid(self.gamma * (self.ratios(start=100.0) - self.mu))
        neg_weights = torch.cat([neg_weights, neg_weights.new_ones(1)])
        pos_weights = 1 + self.alpha * (1 - neg_weights)
        losses = weighted_sigmoid_cross_entropy(pred_logits, gt_labels, pos_weights, neg_weights)
        distances = at_least_float32(pred_logits.detach()).sigmoid()
        distances = distances.masked_fill((gt_labels < 0)[:, None], 0).double()
        rows, classes = positive_entries(gt_labels, self.num_classes)
        missing = (-at_least_float32(pred_logits.detach()[rows, classes])).sigmoid().double()
        distances[rows, classes] = 0
        neg_grads = (distances.sum(dim=0) * neg_weights)[:-1]
        pos_grads = torch.zeros_like(neg_grads).index_add_(0, classes, missing) * pos_weights[:-1]
        self.collect(pos_grads, neg_grads, group)
        return losses


class _Equalized(_GradientRatio):
    """A focal loss with more focus, and more weight, for classes with few positives."""

    def __init__(self, num_classes: int, gamma: float, scale: float):
        super().__init__(num_classes)
        self.gamma, self.scale = gamma, scale

    def gammas(self, like: Tensor) -> Tensor:
        """(K,) gamma + scale (1 - ratio), the ratio at most 1, in the type of the logits."""
        ratios = self.ratios(start=1.0).clamp(max=1)
        return (self.gamma + self.scale * (1 - ratios)).to(at_least_float32(like))

    def pay(
        self,
        pred_logits: Tensor,
        gt_labels: Tensor,
        positive: EntryLoss,
        negative: EntryLoss,
        pos_args: Sequence[Tensor],
        normalizer: float,
        group: ProcessGroup | None,
    ) -> Tensor:
        """The losses, after which the gradients of the batch are collected."""
        losses = entrywise_loss(
            pred_logits, gt_labels, positive=positive, negative=negative, pos_args=pos_args
        )
        pos_grads, neg_grads = torch.zeros_like(self.pos_grads), torch.zeros_like(self.neg_grads)
        for chunk in iterate_chunks(pred_logits.detach(), gt_labels):
            args = [arg[chunk.positives] for arg in pos_args]
            grads = positive.grad(chunk.logits[chunk.pos_entries], *args).abs()
            pos_grads.index_add_(0, chunk.pos_entries[1], grads.double())
            grads = negative.grad(chunk.logits).abs().masked_fill_(chunk.is_ignored[:, None], 0)
            grads[chunk.pos_entries] = 0
            neg_grads += grads.sum(dim=0)
        self.collect(pos_grads / normalizer, neg_grads / normalizer, group)
        return losses


@checked
class EqualizedFocalLoss(_Equalized):
    """Focal loss (EFL) whose exponent and weight grow for classes with few positives."""

    def __init__(
        self,
        num_classes: int,
        *,
        alpha: Balance = 0.25,
        gamma: Positive = 2.0,
        scale: NonNegative = 8.0,
    ):
        """Start with a ratio of 1, at which this is focal loss.

        Args:
            num_classes: K.
            alpha: weight of positive entries, negative ones have 1 - alpha; below 0: both 1.
            gamma: focusing exponent of balanced classes.
            scale: how much larger it is, at most, for classes without positives.
        """
        super().__init__(num_classes, gamma, scale)
        self.alpha = alpha

    def forward(
        self,
        pred_logits: Tensor,
        gt_labels: Tensor,
        group: ProcessGroup | None = None,
        *,
        normalizer: float = 1.0,
    ) -> Tensor:
        """gamma_j / gamma alpha_t (1 - p_t)^gamma_j (-log p_t), with gamma_j of the class.

        The gradients so far decide; in training those of the batch are then added.

        Args:
            pred_logits: (M, K) logits.
            gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
            group: processes whose gradients are added; None is this one alone.
            normalizer: by which the caller divides the sum of the losses, published: the number of
                positives, at least 1. It scales the gradients that are collected, nothing else.

        Returns:
            (M,) losses, 0 for ignored samples.
        """
        check_labels(pred_logits, gt_labels, self.num_classes)
        check_columns(pred_logits, self.num_classes)
        gammas = self.gammas(pred_logits)
        weights = gammas / self.gamma
        _, classes = positive_entries(gt_labels, self.num_classes)
        pos_weight, neg_weight = entry_weights(self.alpha)
        return self.pay(
            pred_logits,
            gt_labels,
            EqualizedFocalPositive(pos_weight),
            FocalEntry(+1, neg_weight * weights, gammas),
            [weights[classes], gammas[classes]],
            normalizer,
            group,
        )


@checked
class EqualizedQualityFocalLoss(_Equalized):
    """Quality focal loss (EQFL) whose exponent and weight grow for classes with few positives."""

    def __init__(self, num_classes: int, *, gamma: Positive = 2.0, scale: NonNegative = 8.0):
        """Start with a ratio of 1, at which this is quality focal loss.

        Args:
            num_classes: K.
            gamma: focusing exponent of balanced classes.
            scale: how much larger it is, at most, for classes without positives.
        """
        super().__init__(num_classes, gamma, scale)

    def forward(
        self,
        pred_logits: Tensor,
        gt_labels: Tensor,
        ious: Tensor,
        group: ProcessGroup | None = None,
        *,
        normalizer: float = 1.0,
    ) -> Tensor:
        """gamma_j / gamma |y - p|^gamma_j BCE(p, y), with gamma_j of the class.

        Args:
            pred_logits: (M, K) logits.
            gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
            ious: (P,) quality y in [0, 1] of the positives in the order of their rows; detached.
            group: see :meth:`EqualizedFocalLoss.forward`.
            normalizer: see :meth:`EqualizedFocalLoss.forward`.

        Returns:
            (M,) losses, 0 for ignored samples.
        """
        check_labels(pred_logits, gt_labels, self.num_classes)
        check_columns(pred_logits, self.num_classes)
        gammas = self.gammas(pred_logits)
        weights = gammas / self.gamma
        _, classes = positive_entries(gt_labels, self.num_classes)
        return self.pay(
            pred_logits,
            gt_labels,
            EqualizedQualityFocalPositive(),
            FocalEntry(+1, weights, gammas),
            [weights[classes], gammas[classes], soft_targets(pred_logits, gt_labels, ious)],
            normalizer,
            group,
        )


@dataclass(frozen=True)
class EqualizedFocalPositive:
    """Focal loss of positives, each with its own weight and exponent.

    See :class:`imbdet.kernels.entrywise.EntryLoss`.

    Attributes:
        weight: common factor, alpha.
    """

    weight: float

    def value(self, logits: Tensor, weights: Tensor, gammas: Tensor) -> Tensor:
        return FocalEntry(-1, self.weight * weights, gammas).value(logits)

    def grad(self, logits: Tensor, weights: Tensor, gammas: Tensor) -> Tensor:
        return FocalEntry(-1, self.weight * weights, gammas).grad(logits)


@dataclass(frozen=True)
class EqualizedQualityFocalPositive:
    """Quality focal loss of positives, each with its own weight and exponent.

    See :class:`imbdet.kernels.entrywise.EntryLoss`.
    """

    def value(self, logits: Tensor, weights: Tensor, gammas: Tensor, targets: Tensor) -> Tensor:
        return QualityFocalPositive(gammas, weights).value(logits, targets)

    def grad(self, logits: Tensor, weights: Tensor, gammas: Tensor, targets: Tensor) -> Tensor:
        return QualityFocalPositive(gammas, weights).grad(logits, targets)
