"""AP loss: one minus the average precision of the ranking, by an error-driven update.

Chen et al., "Towards Accurate One-Stage Object Detection with AP-Loss", CVPR 2019,
https://arxiv.org/abs/1904.06373
"""

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from imbdet.kernels.error_driven import Update, apply_updates
from imbdet.kernels.ranking import Ranking, rank
from imbdet.methods import CLS_LOSSES
from imbdet.methods.options import NonNegative
from imbdet.ops.sums import sum_by


@CLS_LOSSES.register(
    "ap", "AP loss.", "Chen et al., CVPR 2019, https://arxiv.org/abs/1904.06373", ranks=True
)
def ap_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    *,
    weights: Tensor | None = None,
    image_idxs: Tensor | None = None,
    group: ProcessGroup | None = None,
    delta: NonNegative = 1.0,
    interpolated: bool = True,
) -> Tensor:
    """1 - AP over all entries of the batch.

    The gradient is not the derivative of the value: it is the error-driven update (eq. 9), by which
    a positive is raised by its lack of precision and the negatives above it are lowered by as much.

    Args:
        pred_logits: (M, K) logits.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        weights: (M,) finite weights >= 0 of the samples, for the positive as for the negative
            entries of a row; detached. None is ones, and a row of weight 0 counts as ignored.
        image_idxs: (M,) int64, the image of each row: each image is ranked by itself, and the loss
            is the mean over the images that have positives. None is one ranking of all.
        group: processes whose batches are ranked together, see :mod:`imbdet.ops.exchange`; the
            loss is that of all, the same on each. None is this process alone.
        delta: half a step's width in logits; 0 is the hard step, which counts ties fully.
        interpolated: replace the precision of a positive by the highest one at its recall or above
            (sec. 3.3).

    Returns:
        Scalar in [0, 1], the mean over the positives by their weights; a connected zero without
        any.
    """
    ranking = rank(pred_logits, gt_labels, delta, image_idxs, group, weights)
    (loss,) = apply_updates(pred_logits, ranking, [ap_update(ranking, interpolated)])
    return loss


def ap_update(ranking: Ranking, interpolated: bool = True) -> Update:
    """Errors 1 - precision and their update (eq. 9)."""
    # rank+_i = v_i + sum_{k != i} v_k H(p_k - p_i),   FP_i = sum_j u_j H(s_j - p_i)
    # error_i = FP_i / (rank+_i + FP_i) = 1 - precision_i
    # Gradient of p_i: -v_i error_i;   of s_j: u_j sum_i v_i error_i H(s_j - p_i) / FP_i
    precision = ranking.rank_among_positives / ranking.rank_among_all
    errors = 1 - precision
    neg_weights = 1 / ranking.rank_among_all  # error_i / FP_i, also where FP_i is 0
    if interpolated:
        errors = 1 - _running_maximum(precision, ranking)
        # The shares of the negatives shrink with the error; where the precision is 1, it is 0.
        neg_weights = (
            neg_weights * errors / (1 - precision).clamp(min=torch.finfo(errors.dtype).tiny)
        )
    return Update(errors, -errors, neg_weights)


def _running_maximum(precision: Tensor, ranking: Ranking) -> Tensor:
    """(P,) highest precision among the positives of the segment that score no higher."""
    steps = ranking.steps
    order = steps.start.argsort()  # by segment, then by score
    # A precision is in [0, 1], so that none of an earlier segment reaches those of a later one.
    offsets = steps.pos_segments[order]
    maxima = (precision[order] + offsets).cummax(dim=0).values - offsets
    if ranking.rows.weights is not None:  # else equal scores have the same precision
        maxima = maxima[_last_of_equals(steps.pos_scores[order], offsets)]
    highest = torch.empty_like(precision)
    highest[order] = maxima
    return highest


def _last_of_equals(scores: Tensor, segments: Tensor) -> Tensor:
    """(P,) index of the last one with the same score and segment, of sorted ones."""
    differs = (x.diff(prepend=x[:1]) != 0 for x in (scores, segments))
    run = torch.logical_or(*differs).cumsum(dim=0)
    last = sum_by(run, None, len(run)).long().cumsum(dim=0) - 1
    return last[run]
