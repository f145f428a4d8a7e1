"""Importance-based sample reweighting (ISR): prime samples weigh more, the total loss stays.

Cao et al., "Prime Sample Attention in Object Detection", CVPR 2020,
https://arxiv.org/abs/1904.04821
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from imbdet.methods import WEIGHTINGS
from imbdet.methods.options import NonNegative, Share, checked
from imbdet.ops.local_rank import hierarchical_local_rank
from imbdet.ops.precision import at_least_float32
from imbdet.ops.sums import sum_by
from imbdet.structures import Samples
from imbdet.weighting.weights import Weights


@checked
def importance_weights(importance: Tensor, *, k: NonNegative, bias: Share) -> Tensor:
    """((1 - bias) u + bias)^k: the larger k, the more the important samples stand out.

    Args:
        importance: (R,) u in (0, 1], linear in the rank; 1 = most important.
        k: exponent; 0 gives all the weight 1.
        bias: weight of a sample without importance before the power; 1 gives all the weight 1.

    Returns:
        (R,) weights in [0, 1].
    """
    return ((1 - bias) * at_least_float32(importance) + bias) ** k


@WEIGHTINGS.register(
    "isr_p",
    "Importance-based reweighting of the positives.",
    "Cao et al., CVPR 2020, https://arxiv.org/abs/1904.04821",
)
@dataclass(frozen=True)
class ImportancePositives:
    """ISR-P: weights of positives by the hierarchical local rank of their IoU after regression.

    The published code mistakes objects of different images for one from the third image on, and
    raises existing weights to the power, too. Here objects have indices unique in the batch, and
    existing weights multiply outside the power (:class:`WeightingProduct`).

    Attributes:
        k: exponent; the larger, the more the important samples stand out; 0 gives all the weight 1.
        bias: weight of a sample without importance before the power; 1 gives all the weight 1.
    """

    k: NonNegative = 2.0
    bias: Share = 0.0

    def __call__(self, samples: Samples, cls_losses: Tensor) -> Weights:
        """See :class:`Weighting`."""
        rows = samples.pos_idxs
        classes = samples.gt_labels[rows]
        ranks = hierarchical_local_rank(samples.positives.pred_ious, samples.gt_idxs[rows], classes)
        largest_class = sum_by(classes, None, samples.num_classes).amax().long()
        importance = (largest_class - ranks) / largest_class
        weights = importance_weights(importance, k=self.k, bias=self.bias)
        one_group = torch.zeros_like(rows)
        weights = keep_totals(weights, cls_losses[rows], one_group, num_groups=1)
        return Weights.of_rows(samples, rows, weights)


@WEIGHTINGS.register(
    "isr_n",
    "Importance-based reweighting of the negatives, as the sampler score_hlr ranks them.",
    "Cao et al., CVPR 2020, https://arxiv.org/abs/1904.04821",
    needs_ranks=True,
)
@dataclass(frozen=True)
class ImportanceNegatives:
    """ISR-N: weights of negatives by the importance that their sampler gave them.

    Attributes:
        k: exponent; the larger, the more the important samples stand out; 0 gives all the weight 1.
        bias: weight of a sample without importance before the power; 1 gives all the weight 1.
    """

    k: NonNegative = 0.5
    bias: Share = 0.0

    def __call__(self, samples: Samples, cls_losses: Tensor) -> Weights:
        """See :class:`Weighting`; the total loss of each image's negatives stays.

        Raises:
            ValueError: the samples have no importance.
        """
        importance = samples.candidates.importance
        if importance is None:
            raise ValueError(
                "ImportanceNegatives needs samples with importance: use a sampler that ranks "
                "negatives, such as ScoreHLRNegatives"
            )
        rows = samples.neg_idxs
        weights = importance_weights(importance[rows], k=self.k, bias=self.bias)
        weights = keep_totals(
            weights, cls_losses[rows], samples.image_idxs[rows], len(samples.num_per_image)
        )
        return Weights.of_rows(samples, rows, weights)


def keep_totals(weights: Tensor, losses: Tensor, group_idxs: Tensor, num_groups: int) -> Tensor:
    """Rescale weights so that weighting leaves the sum of the losses of each group unchanged.

    Args:
        weights: (R,) weights, >= 0.
        losses: (R,) losses, >= 0.
        group_idxs: (R,) int64 in [0, num_groups).
        num_groups: number of groups.

    Returns:
        (R,) weights; 1 in a group where no factor can do that, since all weighted losses are 0 or
        one is not finite.
    """
    losses = at_least_float32(losses)
    zeros = losses.new_zeros(num_groups)
    totals = zeros.index_add(0, group_idxs, losses)
    factors = (totals / zeros.index_add(0, group_idxs, losses * weights))[group_idxs]
    return torch.where(factors.isfinite(), factors * weights, 1)
