"""Rank & Sort loss: positives above negatives, and positives by their localisation quality.

Oksuz et al., "Rank & Sort Loss for Object Detection and Instance Segmentation", ICCV 2021,
https://arxiv.org/abs/2107.11669
"""

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from imbdet.kernels.error_driven import Update, apply_updates
from imbdet.kernels.ranking import Ranking, rank
from imbdet.kernels.sorting import WrongPairs
from imbdet.methods.options import NonNegative, checked


@checked
def rank_sort_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    ious: Tensor,
    *,
    weights: Tensor | None = None,
    image_idxs: Tensor | None = None,
    group: ProcessGroup | None = None,
    delta: NonNegative = 0.5,
) -> tuple[Tensor, Tensor]:
    """Ranking and sorting error over all entries of the batch.

    The gradients are the error-driven updates of eq. 9 and 10. As published, the pair of a sample
    with itself counts H(0): 1/2 for delta > 0.

    Args:
        pred_logits: (M, K) logits.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        ious: (P,) quality in [0, 1] of the positives in the order of their rows; detached.
        weights: (M,) finite weights >= 0 of the samples, for the positive as for the negative
            entries of a row; detached. None is ones, and a row of weight 0 counts as ignored.
        image_idxs: (M,) int64, the image of each row: each image is ranked by itself, and the loss
            is the mean over the images that have positives. None is one ranking of all.
        group: processes whose batches are ranked together, see :mod:`imbdet.ops.exchange`; the
            loss is that of all, the same on each. None is this process alone.
        delta: half a step's width in logits; 0 is the hard step, which counts ties fully.

    Returns:
        Two scalars with gradients of their own, means over the positives by their weights;
        connected zeros without any.
    """
    ranking = rank(pred_logits, gt_labels, delta, image_idxs, group, weights)
    ious = ranking.join(ious.detach(), "ious").double()
    updates = [ranking_update(ranking), sorting_update(ranking, ious)]
    ranking_loss, sorting_loss = apply_updates(pred_logits, ranking, updates)
    return ranking_loss, sorting_loss


def ranking_update(ranking: Ranking) -> Update:
    """Errors FP_i / rank_i, to be brought to 0, and their update (eq. 3 and 9)."""
    # error_i = FP_i / (a_i + FP_i),   a_i = sum_k v_k H(p_k - p_i), i itself included
    # Gradient of p_i: -v_i error_i;   of s_j: u_j sum_i v_i error_i H(s_j - p_i) / FP_i
    rank_among_all = ranking.positives_above + ranking.false_positives
    errors = ranking.false_positives / rank_among_all
    return Update(errors, -errors, 1 / rank_among_all)


@torch.no_grad()
def sorting_update(ranking: Ranking, ious: Tensor) -> Update:
    """Errors of the order among the positives, and their update (eq. 4 and 10)."""
    # error_i = mean of 1 - IoU_k over all positives k minus that over the k with IoU_k >= IoU_i,
    # both means weighted by v_k H(p_k - p_i), which adds up to a_i over all k and to D_i over the k
    # with IoU_k < IoU_i: they should not be above i.
    # Gradient of p_i: -v_i error_i;   of those p_k: v_k sum_i v_i error_i H(p_k - p_i) / D_i
    steps, pos_weights = ranking.steps, ranking.pos_weights
    wrong_pairs = WrongPairs(steps, ious)
    wrong = wrong_pairs.sum_over_lower(pos_weights).clamp(min=0)
    wrong_errors = wrong_pairs.sum_over_lower(pos_weights * (1 - ious))
    all_errors = steps.sum_over_pairs(pos_weights * (1 - ious))
    target = (all_errors - wrong_errors) / (ranking.positives_above - wrong)  # i itself is right
    # error_i = D_i / a_i (mean of the wrong - target). Rounding may leave a tiny D_i where the
    # truth is 0: the clamps keep the mean of 1 - IoU in [0, 1] and that of the wrong at or above
    # the target.
    tiny = torch.finfo(wrong.dtype).tiny
    mean_of_wrong = (wrong_errors / wrong.clamp(min=tiny)).clamp(0, 1)
    share = ((mean_of_wrong - target) / ranking.positives_above).clamp(min=0)  # error_i / D_i
    errors = share * wrong
    pushed = wrong_pairs.sum_over_higher(pos_weights * share)
    return Update(errors, pushed - errors, torch.zeros_like(errors))
