"""AUC loss: the share of wrongly ordered pairs of a positive and a negative.

The pairwise counterpart of the AP loss; both in Chen et al., "Towards Accurate One-Stage Object
Detection with AP-Loss", CVPR 2019, https://arxiv.org/abs/1904.06373
"""

from torch import Tensor
from torch.distributed import ProcessGroup

from imbdet.kernels.error_driven import Update, apply_updates
from imbdet.kernels.ranking import Ranking, rank
from imbdet.methods import CLS_LOSSES
from imbdet.options import NonNegative


@CLS_LOSSES.register(
    "auc", "AUC loss.", "Chen et al., CVPR 2019, https://arxiv.org/abs/1904.06373", ranks=True
)
def auc_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    *,
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
        image_idxs: (M,) int64, the image of each row: each image is ranked by itself, and the loss
            is the mean over the images that have positives. None is one ranking of all.
        group: processes whose batches are ranked together, see :mod:`imbdet.ops.exchange`; the
            loss is that of all, the same on each. None is this process alone.
        delta: half a step's width in logits; 0 is the hard step, which counts ties fully.

    Returns:
        Scalar in [0, 1]; a connected zero without positives or without negatives.
    """
    ranking = rank(pred_logits, gt_labels, delta, image_idxs, group)
    (loss,) = apply_updates(pred_logits, gt_labels, ranking, [auc_update(ranking)])
    return loss


def auc_update(ranking: Ranking) -> Update:
    """Errors FP_i / |N| and their update."""
    # error_i = sum_j H(s_j - p_i) / |N|
    # Gradient of p_i: -error_i;   of s_j: sum_i H(s_j - p_i) / |N|
    num_negatives = ranking.num_negatives.clamp(min=1)
    errors = ranking.false_positives / num_negatives
    return Update(errors, -errors, 1 / num_negatives)
