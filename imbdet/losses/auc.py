"""AUC loss: the share of wrongly ordered pairs of a positive and a negative.

The pairwise counterpart of the AP loss; both in Chen et al., "Towards Accurate One-Stage Object
Detection with AP-Loss", CVPR 2019, https://arxiv.org/abs/1904.06373
"""

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from imbdet.kernels.error_driven import Update, apply_updates
from imbdet.kernels.ranking import Ranking, rank
from imbdet.methods import CLS_LOSSES
from imbdet.methods.options import NonNegative
from imbdet.ops.exchange import total
from imbdet.ops.sums import sum_by


@CLS_LOSSES.register(
    "auc", "AUC loss.", "Chen et al., CVPR 2019, https://arxiv.org/abs/1904.06373", ranks=True
)
def auc_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    *,
    weights: Tensor | None = None,
    image_idxs: Tensor | None = None,
    group: ProcessGroup | None = None,
    delta: NonNegative = 1.0,
) -> Tensor:
    """1 - area under the ROC curve, over all entries of the batch.

    The gradient is the error-driven update: every wrong pair raises its positive and lowers its
    negative by the same amount.

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

    Returns:
        Scalar in [0, 1]; a connected zero without positives or without negatives.
    """
    ranking = rank(pred_logits, gt_labels, delta, image_idxs, group, weights)
    (loss,) = apply_updates(pred_logits, ranking, [auc_update(ranking, pred_logits.shape[1])])
    return loss


@torch.no_grad()
def auc_update(ranking: Ranking, num_classes: int) -> Update:
    """Errors FP_i / |N| and their update."""
    # error_i = sum_j u_j H(s_j - p_i) / |N|,   |N| = sum_j u_j
    # Gradient of p_i: -v_i error_i;   of s_j: u_j sum_i v_i H(s_j - p_i) / |N|
    negatives = _weight_of_negatives(ranking, num_classes)
    errors = (ranking.false_positives / negatives).where(negatives > 0, 0)
    return Update(errors, -errors, (1 / negatives).where(negatives > 0, 0))


def _weight_of_negatives(ranking: Ranking, num_classes: int) -> Tensor:
    """(P,) float64, sum_j u_j over the negatives of the segment; exactly 0 without any."""
    steps = ranking.steps
    gt_labels, segments, weights, _ = ranking.rows
    is_background = (gt_labels == num_classes).double()
    segments = torch.zeros_like(gt_labels) if segments is None else segments[:, 0]
    weights = is_background if weights is None else is_background * weights[:, 0]
    background = sum_by(segments, weights, steps.num_segments)
    background = total(background, ranking.pool.group)
    positives = sum_by(steps.pos_segments, ranking.pos_weights, steps.num_segments)
    negatives = num_classes * background + (num_classes - 1) * positives
    return negatives[steps.pos_segments]
