"""DR loss: the hardest negatives have to stay a margin below the hardest positives.

Qian et al., "DR Loss: Improving Object Detection by Distributional Ranking", CVPR 2020,
https://arxiv.org/abs/1907.10156

"Hardest" is a mean of the scores under a softmax of the scores themselves. Such a mean over a
matrix is the mean of its rows' means under a softmax of the rows' log-sum-exp. So the rows of the
matrix are reduced chunk after chunk, with small temporaries and a gradient that is computed in the
backward pass; autograd does the rest. Likewise the mean over the batches of several processes is
the mean of the processes' means under a softmax of their log-sum-exp.

Shape shorthand: M samples, K classes, P positives, S scopes (each with a ranking of its own).
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.nn import functional as F

from imbdet.kernels.chunks import Chunk, iterate_chunks
from imbdet.methods import CLS_LOSSES
from imbdet.ops.exchange import gather
from imbdet.ops.first_order import first_order
from imbdet.ops.labels import check_labels, positive_entries, rank_segments, weighted_labels
from imbdet.options import Positive


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
    tau: float = 4.0,
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
        margin: by which the scores of positives should exceed those of negatives.
        sharpness: kappa of the smooth hinge (the paper's L); a large one approaches max(0, x).
        tau: factor of the loss.
        lambda_pos: temperature of the positives: towards 0 their lowest score counts alone, towards
            infinity the mean of all.
        lambda_neg: temperature of the negatives: towards 0 their highest score counts alone.

    Returns:
        Scalar, not to be normalized. Without positives P+ = 1, without negatives P- = 0; a scope
        with neither pays 0.
    """
    check_labels(pred_logits, gt_labels)
    # Of a row r:   mass_r = log sum_j exp(p_rj / lambda_neg),   mean_r = sum_j q_rj p_rj
    # Of a scope:   P- = sum_r q_r mean_r with q = softmax(mass);   P+ likewise, of single scores
    # Loss:         tau / kappa softplus(kappa (P- - P+ + margin)), mean over the scopes
    gt_labels = weighted_labels(gt_labels, weights)
    scopes, num_scopes = rank_segments(gt_labels, image_idxs, group)
    pos_rows, _ = positive_entries(gt_labels, pred_logits.shape[1])
    masses, means, pos_logits = _NegativeRows.apply(pred_logits, gt_labels, lambda_neg)
    pos_scores = pos_logits.sigmoid()
    pos_masses = -pos_scores / lambda_pos
    if weights is not None:
        log_weights = weights.detach().double().log()
        masses, pos_masses = masses + log_weights, pos_masses + log_weights[pos_rows]
    negatives = _softmax_means(means, masses, scopes, num_scopes)
    positives = _softmax_means(pos_scores, pos_masses, scopes[pos_rows], num_scopes)
    if group is not None:
        negatives, positives = (_over_processes(*own, group) for own in (negatives, positives))
    (neg, neg_mass), (pos, pos_mass) = negatives, positives
    is_empty = neg_mass.isneginf() & pos_mass.isneginf()
    excess = neg - pos.masked_fill(pos_mass.isneginf(), 1) + margin
    losses = (tau / sharpness * F.softplus(sharpness * excess)).masked_fill(is_empty, 0)
    dtype = torch.promote_types(pred_logits.dtype, torch.float32)
    return (losses.sum() / num_scopes).to(dtype)


def _softmax_means(
    values: Tensor, logits: Tensor, scopes: Tensor, num_scopes: int
) -> tuple[Tensor, Tensor]:
    """(S,) means of values (V,) under the softmax of logits (V,), and (S,) log-sum-exp of these.

    A scope without values, or with logits of -inf alone, has the mean 0 and the log-sum-exp -inf.
    """
    kept = logits.isneginf().logical_not().nonzero().squeeze(1)
    values, logits, scopes = values[kept], logits[kept], scopes[kept]
    zeros = logits.new_zeros(num_scopes)
    highest = (zeros - math.inf).scatter_reduce(0, scopes, logits.detach(), "amax")
    weights = (logits - highest[scopes]).exp()
    total = zeros.index_add(0, scopes, weights)
    total = total.masked_fill(highest.isneginf(), 1)
    return zeros.index_add(0, scopes, weights * values) / total, highest + total.log()


def _over_processes(means: Tensor, masses: Tensor, group: ProcessGroup) -> tuple[Tensor, Tensor]:
    """Result of :func:`_softmax_means`, (1,) each, for the values of all processes."""
    means, masses = gather(torch.cat([means, masses]), group).unbind(dim=1)
    return _softmax_means(means, masses, torch.zeros_like(masses, dtype=torch.int64), 1)


class _NegativeRows(torch.autograd.Function):
    """Softmax of p / temperature over the negatives of each row.

    Returns, in float64, its (M,) log-sum-exp, -inf in rows without negatives, the (M,) means of p
    under it, and the (P,) logits of the positives: indexing them outside would cost a second
    gradient of the size of the logits.
    """

    @staticmethod
    def forward(
        ctx: Any, pred_logits: Tensor, gt_labels: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        masses = pred_logits.new_empty(len(pred_logits), dtype=torch.float64)
        means = torch.empty_like(masses)
        for chunk in iterate_chunks(pred_logits, gt_labels):
            scores, highest, weights = _weigh_negatives(chunk, temperature)
            total = weights.sum(dim=1).double()
            is_empty = chunk.is_ignored | (total == 0)
            mass = highest.double() / temperature + total.log()
            masses[chunk.rows] = mass.masked_fill_(is_empty, -math.inf)
            means[chunk.rows] = ((weights * scores).sum(dim=1) / total).masked_fill_(is_empty, 0)
        ctx.save_for_backward(pred_logits, gt_labels, means)
        ctx.temperature = temperature
        ctx.pos_entries = positive_entries(gt_labels, pred_logits.shape[1])
        return masses, means, pred_logits[ctx.pos_entries].double()

    @staticmethod
    @first_order
    def backward(
        ctx: Any, grad_masses: Tensor, grad_means: Tensor, grad_pos_logits: Tensor
    ) -> tuple[Tensor, None, None]:
        pred_logits, gt_labels, means = ctx.saved_tensors
        grad_logits = torch.empty_like(pred_logits)
        # d mass / dp_j = q_j / temperature,    d mean / dp_j = q_j (1 + (p_j - mean) / temperature)
        slopes = grad_means / ctx.temperature
        intercepts = grad_masses / ctx.temperature + grad_means
        for chunk in iterate_chunks(pred_logits, gt_labels):
            scores, _, weights = _weigh_negatives(chunk, ctx.temperature)
            total = weights.sum(dim=1)
            mean, slope, intercept = (
                rows[chunk.rows, None].to(scores.dtype) for rows in (means, slopes, intercepts)
            )
            grads = (scores - mean).mul_(slope).add_(intercept)
            grads.mul_(weights.div_(total[:, None])).mul_(scores).mul_(1 - scores)
            grad_logits[chunk.rows] = grads.masked_fill_(chunk.is_ignored[:, None], 0)
        grad_logits[ctx.pos_entries] = grad_pos_logits.to(grad_logits.dtype)
        return grad_logits, None, None


def _weigh_negatives(chunk: Chunk, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """Negatives' p (C, K), highest p (C,) and weights exp((p - highest) / temperature) (C, K)."""
    scores = torch.sigmoid(chunk.logits)
    scores[chunk.pos_entries] = -1  # below any negative
    highest = scores.amax(dim=1)
    weights = (scores - highest[:, None]).div_(temperature).exp_()
    weights[chunk.pos_entries] = 0
    return scores, highest, weights
