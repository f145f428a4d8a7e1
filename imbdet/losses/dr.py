"""DR loss: the hardest negatives have to stay a margin below the hardest positives.

Qian et al., "DR Loss: Improving Object Detection by Distributional Ranking", CVPR 2020,
https://arxiv.org/abs/1907.10156

"Hardest" is a mean of the scores under a softmax of the scores themselves. Such a mean over a
matrix is the mean of its rows' means under a softmax of the rows' log-sum-exp. So the rows of the
matrix are reduced first; autograd does the rest. Likewise the mean over the batches of several
processes is the mean of the processes' means under a softmax of their log-sum-exp.

Shape shorthand: M samples, K classes, P positives, S scopes (each with a ranking of its own).
"""

import math

import torch
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.nn import functional as F

from imbdet.kernels.negative_softmax import negative_softmax
from imbdet.methods import CLS_LOSSES
from imbdet.methods.options import NonNegative, Positive
from imbdet.ops.exchange import gather
from imbdet.ops.labels import labelled_rows, rank_segments
from imbdet.ops.precision import wide_dtype


@CLS_LOSSES.register(
    "dr", "DR loss.", "Qian et al., CVPR 2020, https://arxiv.org/abs/1907.10156", ranks=True
)
def dr_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    *,
    weights: Tensor | None = None,
    image_idxs: Tensor | None = None,
    group: ProcessGroup | None = None,
    margin: float = 0.5,
    sharpness: Positive = 6.0,
    tau: NonNegative = 4.0,
    lambda_pos: Positive = 1.0,
    lambda_neg: Positive = 0.1 / math.log(3.5),
) -> Tensor:
    """tau / kappa log(1 + exp(kappa (P- - P+ + margin))) with the means P of the hardest scores.

    P- = sum_j q_j p_j over the negatives with q = softmax(p / lambda_neg), and P+ over the
    positives with q = softmax(-p / lambda_pos). Gradient flows through p and q. A weight w of a
    sample adds log w to the logits of its softmax.

    Args:
        pred_logits: (M, K) logits.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        weights: (M,) finite weights >= 0 of the samples, for the positive as for the negative
            entries of a row; detached. None is ones, and a row of weight 0 counts as ignored.
        image_idxs: (M,) int64, the image of each row: the loss is the mean over the images that
            occur, each ranked by itself (paper). None is one ranking of all (published code).
        group: processes whose batches are ranked together, see :mod:`imbdet.ops.exchange`; the
            loss is that of all, the same on each. None is this process alone.
        margin: difference by which the scores of positives should exceed those of negatives.
        sharpness: kappa of the smooth hinge (the paper's L); a large one approaches max(0, x).
        tau: factor of the loss.
        lambda_pos: temperature of the positives: towards 0 their lowest score counts alone, towards
            infinity the mean of all.
        lambda_neg: temperature of the negatives: towards 0 their highest score counts alone.

    Returns:
        Scalar, not to be normalized. Without positives P+ = 1, without negatives P- = 0; the
        loss of a scope with neither is 0.
    """
    # Row r:        mass_r = log sum_j exp(p_rj / lambda_neg),   mean_r = sum_j q_rj p_rj
    # Scope:        P- = sum_r q_r mean_r with q = softmax(mass) (eq. 6);   P+ by single scores
    # Loss:         tau / kappa softplus(kappa (P- - P+ + margin)) (eq. 8), mean over the scopes (9)
    gt_labels, _, pos_entries, _, _ = labelled_rows(pred_logits, gt_labels, weights)
    scopes, num_scopes = rank_segments(gt_labels, image_idxs, group)
    masses, means, pos_logits = negative_softmax(pred_logits, gt_labels, pos_entries, lambda_neg)
    pos_scopes = scopes[pos_entries[0]]
    pos_scores = pos_logits.sigmoid()
    pos_masses = -pos_scores / lambda_pos
    if weights is not None:
        log_weights = weights.detach().double().log()
        masses, pos_masses = masses + log_weights, pos_masses + log_weights[pos_entries[0]]
    negatives = _softmax_means(means, masses, scopes, num_scopes)
    positives = _softmax_means(pos_scores, pos_masses, pos_scopes, num_scopes)
    if group is not None:
        negatives, positives = (_over_processes(*own, group) for own in (negatives, positives))
    (neg, neg_mass), (pos, pos_mass) = negatives, positives
    is_empty = neg_mass.isneginf() & pos_mass.isneginf()
    excess = neg - pos.masked_fill(pos_mass.isneginf(), 1) + margin
    losses = (tau / sharpness * F.softplus(sharpness * excess)).masked_fill(is_empty, 0)
    dtype = wide_dtype(pred_logits.dtype)
    return (losses.sum() / num_scopes).to(dtype)


def _softmax_means(
    values: Tensor, logits: Tensor, scopes: Tensor, num_scopes: int
) -> tuple[Tensor, Tensor]:
    """(S,) means of values (V,) under the softmax of logits (V,), and (S,) log-sum-exp of these.

    A scope without values, or with logits of -inf alone, has the mean 0 and the log-sum-exp -inf.
    """
    zeros = logits.new_zeros(num_scopes)
    highest = (zeros - math.inf).scatter_reduce(0, scopes, logits.detach(), "amax")
    is_empty = highest.isneginf()
    weights = (logits - highest.masked_fill(is_empty, 0)[scopes]).exp()
    total = zeros.index_add(0, scopes, weights).masked_fill(is_empty, 1)
    return zeros.index_add(0, scopes, weights * values) / total, highest + total.log()


def _over_processes(means: Tensor, masses: Tensor, group: ProcessGroup) -> tuple[Tensor, Tensor]:
    """Result of :func:`_softmax_means`, (1,) each, for the values of all processes."""
    means, masses = gather(torch.cat([means, masses]), group).unbind(dim=1)
    return _softmax_means(means, masses, torch.zeros_like(masses, dtype=torch.int64), 1)
