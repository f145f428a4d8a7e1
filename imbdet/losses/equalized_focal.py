"""Equalized focal losses: more focus and weight for classes whose positives have small gradients.

Li et al., "Equalized Focal Loss for Dense Long-Tailed Object Detection", CVPR 2022,
https://arxiv.org/abs/2201.02593

Shape shorthand: M samples, K classes, P positives.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from imbdet.kernels.chunks import iterate_chunks
from imbdet.kernels.entrywise import EntryLoss, entry_weights, entrywise_loss
from imbdet.losses.class_cross_entropy import check_columns
from imbdet.losses.focal import FocalEntry
from imbdet.losses.gradient_ratio import GradientRatio
from imbdet.losses.quality import QualityFocalPositive, soft_targets
from imbdet.methods import CLS_LOSSES
from imbdet.methods.options import Balance, NonNegative, Positive
from imbdet.ops.labels import check_labels, positive_entries
from imbdet.ops.precision import at_least_float32


class _Equalized(GradientRatio):
    """A focal loss with more focus, and more weight, for classes with few positives."""

    def __init__(self, num_classes: int, gamma: float, scale: float):
        super().__init__(num_classes)
        self.gamma, self.scale = gamma, scale

    def gammas(self, like: Tensor) -> Tensor:
        """(K,) gamma + scale (1 - ratio), the ratio at most 1, in the logits' dtype or float32."""
        ratios = self.ratios(start=1.0).clamp(max=1)
        return (self.gamma + self.scale * (1 - ratios)).to(at_least_float32(like))

    def balance(self, pred_logits: Tensor, gt_labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(K,) exponents, (K,) weights, and (P,) classes of the positives."""
        check_labels(pred_logits, gt_labels, self.num_classes)
        check_columns(pred_logits, self.num_classes)
        gammas = self.gammas(pred_logits)
        _, classes = positive_entries(gt_labels, self.num_classes)
        return gammas, gammas / self.gamma, classes

    def pay(
        self,
        pred_logits: Tensor,
        gt_labels: Tensor,
        positive: EntryLoss,
        negative: EntryLoss,
        pos_args: Sequence[Tensor],
        normalizer: float | Tensor,
        group: ProcessGroup | None,
    ) -> Tensor:
        """Compute the (M,) losses, and collect the gradients of the batch."""
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


@CLS_LOSSES.register(
    "efl",
    "Focal loss with more focus and weight for classes whose positives have had small gradients.",
    "Li et al., CVPR 2022, https://arxiv.org/abs/2201.02593",
    takes=("group", "normalizer"),
    balances_classes=True,
)
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
            scale: largest increase of the exponent, for classes without positives.
        """
        super().__init__(num_classes, gamma, scale)
        self.alpha = alpha

    def forward(
        self,
        pred_logits: Tensor,
        gt_labels: Tensor,
        group: ProcessGroup | None = None,
        *,
        normalizer: float | Tensor = 1.0,
    ) -> Tensor:
        """gamma_j / gamma alpha_t (1 - p_t)^gamma_j (-log p_t), with gamma_j of the class.

        gamma_j depends on the gradients so far; in training those of the batch are then added.

        Args:
            pred_logits: (M, K) logits.
            gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
            group: processes whose gradients are added; None is this one alone.
            normalizer: divisor that the caller applies to the sum of the losses, published: the
                number of positives, at least 1. It scales the collected gradients, nothing else.

        Returns:
            (M,) losses, 0 for ignored samples.
        """
        gammas, weights, classes = self.balance(pred_logits, gt_labels)
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


@CLS_LOSSES.register(
    "eqfl",
    "Quality focal loss with more focus and weight for classes whose positives have had small "
    "gradients.",
    "Li et al., CVPR 2022, https://arxiv.org/abs/2201.02593",
    uses_quality=True,
    takes=("group", "normalizer"),
    balances_classes=True,
)
class EqualizedQualityFocalLoss(_Equalized):
    """Quality focal loss (EQFL) whose exponent and weight grow for classes with few positives."""

    def __init__(self, num_classes: int, *, gamma: Positive = 2.0, scale: NonNegative = 8.0):
        """Start with a ratio of 1, at which this is quality focal loss.

        Args:
            num_classes: K.
            gamma: focusing exponent of balanced classes.
            scale: largest increase of the exponent, for classes without positives.
        """
        super().__init__(num_classes, gamma, scale)

    def forward(
        self,
        pred_logits: Tensor,
        gt_labels: Tensor,
        ious: Tensor,
        group: ProcessGroup | None = None,
        *,
        normalizer: float | Tensor = 1.0,
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
        gammas, weights, classes = self.balance(pred_logits, gt_labels)
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
