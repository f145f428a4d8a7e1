"""aLRP loss: the localisation-recall-precision error averaged over positives.

Oksuz et al., "A Ranking-based, Balanced Loss Function Unifying Classification and Localisation in
Object Detection", NeurIPS 2020, https://arxiv.org/abs/2009.13592
"""

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from imbdet.kernels.error_driven import Update, apply_updates
from imbdet.kernels.ranking import Ranking, rank
from imbdet.kernels.steps import Steps
from imbdet.methods.options import NonNegative, checked
from imbdet.ops.precision import at_least_float32

# FP_i is a difference of large sums; up to this share of v_i it means "no negative above".
NO_NEGATIVES = 1e-5


@checked
def alrp_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    loc_errors: Tensor,
    *,
    weights: Tensor | None = None,
    image_idxs: Tensor | None = None,
    group: ProcessGroup | None = None,
    delta: NonNegative = 1.0,
    smooth_localisation: bool = True,
) -> tuple[Tensor, Tensor]:
    """Classification and localisation part of the aLRP loss over all entries of the batch.

    The gradient of the logits is the error-driven update of the first part (eq. 12), which includes
    the localisation errors of the positives ranked above. The second part is differentiated with
    respect to the localisation errors only.

    Args:
        pred_logits: (M, K) logits.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        loc_errors: (P,) localisation errors >= 0 of the positives in the order of their rows, such
            as (1 - GIoU) / (2 (1 - tau)); with gradient.
        weights: (M,) finite weights >= 0 of the samples, for the positive as for the negative
            entries of a row; detached. None is ones, and a row of weight 0 counts as ignored.
        image_idxs: (M,) int64, the image of each row: each image is ranked by itself, and the loss
            is the mean over the images that have positives. None is one ranking of all.
        group: processes whose batches are ranked together, see :mod:`imbdet.ops.exchange`; the
            loss is that of all, the same on each. None is this process alone.
        delta: half a step's width in logits; 0 is the hard step, which counts ties fully.
        smooth_localisation: whether the positives above are summed by the smooth step, as the
            definition has it, or by the hard order of the scores, as the published code does.

    Returns:
        Two scalars, float32 or wider, means over the positives by their weights; connected zeros
        without any.
    """
    ranking = rank(pred_logits, gt_labels, delta, image_idxs, group, weights)
    loc_errors = ranking.join(at_least_float32(loc_errors), "loc_errors")
    update = alrp_update(ranking, loc_errors.detach().double())
    (cls_loss,) = apply_updates(pred_logits, ranking, [update])
    factors = _localisation_factors(ranking, smooth_localisation).to(loc_errors.dtype)
    return cls_loss, (factors * loc_errors).sum()


@torch.no_grad()
def alrp_update(ranking: Ranking, loc_errors: Tensor) -> Update:
    """Errors FP_i / rank_i and the update that includes the localisation errors (eq. 10-12)."""
    # error_i = FP_i / rank_i,   rank_i = rank+_i + FP_i
    # pull_i = (FP_i + sum_{k != i} v_k H(p_k - p_i) e_k) / rank_i where FP_i > 0, else 0
    # Gradient of p_i: -v_i pull_i;   of s_j: u_j sum_i v_i pull_i H(s_j - p_i) / FP_i
    rank_among_all, false_positives = ranking.rank_among_all, ranking.false_positives
    loc_errors = ranking.pos_weights * loc_errors
    above = ranking.steps.sum_over_pairs(loc_errors) - ranking.steps.at_zero * loc_errors
    is_first = false_positives <= NO_NEGATIVES * ranking.pos_weights
    pull = torch.where(is_first, 0, (above + false_positives) / rank_among_all)
    neg_weights = torch.where(is_first, 0, pull / false_positives)
    return Update(false_positives / rank_among_all, -pull, neg_weights)


@torch.no_grad()
def _localisation_factors(ranking: Ranking, is_smooth: bool) -> Tensor:
    """(P,) c_k by which the localisation part is sum_k c_k e_k.

    It is the weighted mean over the positives i of (v_i e_i + sum_{k != i} v_k H_ik e_k) / rank_i,
    with the hard step in place of H_ik unless ``is_smooth``.
    """
    steps = ranking.steps
    if not is_smooth:
        steps = Steps(steps.pos_scores, 0, steps.pos_segments, steps.num_segments)
    shares = ranking.shares / ranking.rank_among_all
    below = steps.sum_over_positives(shares).at(steps.pos_scores, steps.pos_segments)
    return ranking.pos_weights * (below + (1 - steps.at_zero) * shares)
