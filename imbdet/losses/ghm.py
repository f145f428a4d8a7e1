"""Gradient harmonising: the more entries share a gradient norm, the less each of them weighs.

Li et al., "Gradient Harmonized Single-stage Detector", AAAI 2019, https://arxiv.org/abs/1811.05181

The gradients' norms, in [0, 1], fall into equal bins. Of N entries, one in a bin with S_j entries
has the weight N / (S_j B), where B is the number of bins that are not empty (of all bins in the
paper; the published code is followed), and the weighted sum is divided by N. Here N is cancelled
from both: the loss is the plain sum and needs no normalizer. Entries of weighted samples count as
much as they weigh: N and S_j are sums of weights.

The published dense heads call the loss once for each level of the feature pyramid: the levels share
the averaged counts, which each of them updates, and their losses are added. So N, S_j and B are
those of a level. ``levels`` says which rows belong to each.

Shape shorthand: M samples, K classes, P positives.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.nn import functional as F

from imbdet.kernels.entrywise import fused_as, sum_entries
from imbdet.kernels.norm_histogram import bins_of, count_bins, norm_histogram
from imbdet.losses.asl1 import asl1
from imbdet.losses.reduction import reduce_losses
from imbdet.methods import BOX_LOSSES, CLS_LOSSES
from imbdet.methods.options import Count, Momentum, Positive
from imbdet.ops.buffers import KeepsMissingBuffers, untouched_buffers
from imbdet.ops.exchange import total
from imbdet.ops.labels import check_labels, check_weights, weighted_labels


class _Harmonizer(KeepsMissingBuffers):
    """Keeps the number of entries of each bin, averaged over the batches.

    The averages are buffers, so that a checkpoint keeps them; in float64, which counts exactly.
    """

    counts: Tensor
    progress: Tensor

    def __init__(self, bins: int, momentum: float, correct_bias: bool, by_level: bool):
        super().__init__()
        self.bins, self.momentum = bins, momentum
        self.correct_bias, self.by_level = correct_bias, by_level
        self.register_buffer("counts", torch.zeros(bins, dtype=torch.float64))
        # The same average of ones, which corrects the counts for their start at 0.
        self.register_buffer("progress", torch.zeros(bins, dtype=torch.float64))

    @torch.no_grad()
    def weigh(self, histogram: Tensor, group: ProcessGroup | None = None) -> Tensor:
        """Average in a batch's counts (bins,) and return the weights (bins,) 1 / (S_j B), float64.

        An empty bin keeps its average and has the weight 0. The batch is that of all processes in
        the ``group``.
        """
        # S_j = momentum S_j + (1 - momentum) R_j with R_j entries of the batch in bin j, if any;
        # corrected: S_j / (1 - momentum^t) after t batches with entries in it
        histogram = total(histogram, group)
        is_used = histogram > 0
        counts, progress = (
            average.lerp(value.double(), 1 - self.momentum).where(is_used, average)
            for average, value in ((self.counts, histogram), (self.progress, is_used))
        )
        self.counts.copy_(counts)
        self.progress.copy_(progress)
        if self.correct_bias:
            counts = counts / progress
        return (1 / (counts * is_used.sum())).where(is_used, 0)

    def harmonize_levels(
        self,
        harmonize: Callable[[Tensor, Tensor, Tensor | None], Tensor],
        predictions: Tensor,
        targets: Tensor,
        weights: Tensor | None,
        levels: Sequence[Tensor] | None,
    ) -> Tensor:
        """The losses of all rows, with a call for each level; see :meth:`GHMCLoss.forward`.

        In evaluation mode the averages stay as they are.

        Raises:
            ValueError: levels are given without ``by_level``, or the other way round.
        """
        if self.by_level and levels is None:
            raise ValueError("by_level is True: levels, the rows of each level, must be given")
        if levels is not None and not self.by_level:
            raise ValueError("levels are given, but by_level is False: build the loss with it")
        with contextlib.nullcontext() if self.training else untouched_buffers(self):
            if levels is None:
                return harmonize(predictions, targets, weights)
            order, sizes = torch.cat(list(levels)), [len(rows) for rows in levels]
            of_levels = [x[order].split(sizes) for x in (predictions, targets)]
            own = [None] * len(sizes) if weights is None else weights[order].split(sizes)
            losses = torch.cat([harmonize(*part) for part in zip(*of_levels, own, strict=True)])
        return losses.new_zeros(len(losses)).index_copy(0, order, losses)


@CLS_LOSSES.register(
    "ghm_c",
    "Sigmoid cross-entropy, harmonised by gradient norm.",
    "Li et al., AAAI 2019, https://arxiv.org/abs/1811.05181",
    is_normalized=True,
    takes=("group", "weights"),
)
class GHMCLoss(_Harmonizer):
    """Sigmoid cross-entropy, harmonised over all entries that are not ignored."""

    def __init__(
        self,
        bins: Count = 30,
        momentum: Momentum = 0.75,
        *,
        correct_bias: bool = False,
        by_level: bool = False,
    ):
        """Start with empty bins.

        Args:
            bins: number of bins of the gradient norm |p - p*|.
            momentum: weight of the past in their counts; 0 uses each batch alone.
            correct_bias: whether to correct the counts for their start at 0; without it, as
                published, the losses of the first batch are 1 / (1 - momentum) times too large.
            by_level: whether each level of a feature pyramid is harmonised separately, as in the
                published heads; calls must then pass the ``levels``, as a dense head does.
        """
        super().__init__(bins, momentum, correct_bias, by_level)

    def forward(
        self,
        pred_logits: Tensor,
        gt_labels: Tensor,
        group: ProcessGroup | None = None,
        levels: Sequence[Tensor] | None = None,
        *,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Add the batch to the counts and weight its losses; the weights of bins are detached.

        Args:
            pred_logits: (M, K) logits.
            gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
            group: processes whose batches are counted together; None is this one alone.
            levels: int64 rows of each level, together all rows, if ``by_level``; the levels are
                harmonised one after the other. Otherwise None: all rows are harmonised at once.
            weights: (M,) finite weights >= 0 of the samples, or None for ones. A row of weight 0
                counts as ignored.

        Returns:
            (M,) losses, summed over the classes and weighted, 0 for ignored samples. Their sum,
            over all processes, is the loss.

        Raises:
            ValueError: levels are given without ``by_level``, or the other way round, or an
                argument does not fit.
        """
        check_labels(pred_logits, gt_labels)
        gt_labels = weighted_labels(gt_labels, weights)
        harmonize = partial(self._harmonize, group=group)
        losses = self.harmonize_levels(harmonize, pred_logits, gt_labels, weights, levels)
        return reduce_losses(losses, weights, "none")

    def _harmonize(
        self,
        pred_logits: Tensor,
        gt_labels: Tensor,
        weights: Tensor | None,
        group: ProcessGroup | None,
    ) -> Tensor:
        histogram = norm_histogram(pred_logits, gt_labels, self.bins, weights)
        bin_weights = self.weigh(histogram, group)
        return sum_entries(
            pred_logits,
            gt_labels,
            positive=HarmonizedEntry(-1, bin_weights),
            negative=HarmonizedEntry(+1, bin_weights),
        )


@BOX_LOSSES.register(
    "ghm_r",
    "Authentic smooth L1 distance of the deltas, harmonised by gradient norm.",
    "Li et al., AAAI 2019, https://arxiv.org/abs/1811.05181",
    is_normalized=True,
    takes=("group", "weights"),
)
class GHMRLoss(_Harmonizer):
    """Authentic smooth L1, harmonised over the coordinates of all positives."""

    def __init__(
        self,
        mu: Positive = 0.02,
        bins: Count = 10,
        momentum: Momentum = 0.7,
        *,
        correct_bias: bool = False,
        by_level: bool = False,
    ):
        """Start with empty bins.

        Args:
            mu: width of the round part of the loss, in deltas.
            bins: number of bins of the gradient norm |d| / sqrt(d^2 + mu^2).
            momentum: weight of the past in their counts; 0 uses each batch alone.
            correct_bias: whether to correct the counts for their start at 0.
            by_level: whether each level of a feature pyramid is harmonised separately; calls must
                then pass the ``levels``, as a dense head does.
        """
        super().__init__(bins, momentum, correct_bias, by_level)
        self.mu = mu

    def forward(
        self,
        pred_deltas: Tensor,
        target_deltas: Tensor,
        group: ProcessGroup | None = None,
        levels: Sequence[Tensor] | None = None,
        *,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Add the batch to the counts and weight its losses; the weights of bins are detached.

        Args:
            pred_deltas: (P, 4) predicted deltas.
            target_deltas: (P, 4) deltas to reach.
            group: processes whose batches are counted together; None is this one alone.
            levels: see :meth:`GHMCLoss.forward`.
            weights: (P,) finite weights >= 0 of the samples, or None for ones.

        Returns:
            (P,) losses, summed over the coordinates and weighted. Their sum, over all processes, is
            the loss.
        """
        if weights is not None:
            check_weights(weights, len(pred_deltas))
        harmonize = partial(self._harmonize, group=group)
        losses = self.harmonize_levels(harmonize, pred_deltas, target_deltas, weights, levels)
        return reduce_losses(losses, weights, "none")

    def _harmonize(
        self,
        pred_deltas: Tensor,
        target_deltas: Tensor,
        weights: Tensor | None,
        group: ProcessGroup | None,
    ) -> Tensor:
        losses, norms = asl1(pred_deltas, target_deltas, self.mu)
        bins = bins_of(norms, self.bins)
        bin_weights = self.weigh(count_bins(bins, self.bins, weights), group)
        return (losses * bin_weights.to(losses.dtype)[bins].view_as(losses)).sum(dim=1)


@fused_as("harmonized", "sign", table="weights")
@dataclass(frozen=True, eq=False)
class HarmonizedEntry:
    """Cross-entropy weighted by its bin; see :class:`imbdet.kernels.entrywise.EntryLoss`.

    Attributes:
        sign: +1 of a negative entry, -1 of a positive one, its mirror image.
        weights: (bins,) weights by the gradient norm sigmoid(sign x).
    """

    sign: int
    weights: Tensor

    def value(self, logits: Tensor) -> Tensor:
        norms = torch.sigmoid(self.sign * logits)  # eq. 3
        return self._weights_of(norms).mul_(F.softplus(self.sign * logits))  # eq. 8

    def grad(self, logits: Tensor) -> Tensor:
        norms = torch.sigmoid(self.sign * logits)
        return self._weights_of(norms).mul_(norms).mul_(self.sign)

    def _weights_of(self, norms: Tensor) -> Tensor:
        bins = bins_of(norms, len(self.weights))
        return self.weights.to(norms.dtype).index_select(0, bins).view_as(norms)
