"""The ranks of a batch's positives among all its entries, which all ranking losses need.

Samples of several processes may be ranked together. Then each process compares its own entries with
the positives of all processes, whose scores are gathered, and the sums over entries are added.

Samples may have weights: a positive and the negative entries of its row have that of the row.

Shape shorthand: M samples, K classes, P positives (of all processes, in the order of the
processes), G segments with a ranking of their own: images, or one of all.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from imbdet.kernels.step_sums import Rows, StepSums, step_sums
from imbdet.kernels.steps import Steps
from imbdet.ops.exchange import Pool, total
from imbdet.ops.labels import labelled_rows, rank_segments
from imbdet.ops.precision import at_least_float32
from imbdet.ops.sums import sum_by


class Ranking(NamedTuple):
    """The positives of a batch among the entries of their segment.

    Attributes:
        steps: step functions of the positives.
        sums: sums of the steps over many logits.
        rows: labels, -1 also in rows of weight 0; segments; and weights u_j of a row's entries.
        pos_entries: rows and classes of this process's positives, those of weight 0 left out.
        num_labelled: number of this process's positives, those of weight 0 included.
        pos_kept: indices, among these, of the positives in ``pos_entries``; None is all.
        pool: pool of the positives of all processes.
        pos_weights: (P,) float64 weights v_i > 0.
        positives_above: (P,) float64, sum_k v_k H(p_k - p_i) over the positives, i itself included.
        false_positives: (P,) float64, FP_i = sum_j u_j H(s_j - p_i) over the negatives, >= 0. It is
            a difference of large sums and may be 1e-10 where the truth is 0.
        shares: (P,) float64, factor of each positive in the mean over segments of the weighted
            means over positives; NaN with ``poison``.
        poison: scalar float64, NaN if a ranked logit is NaN or a positive's is infinite; otherwise
            0.
    """

    steps: Steps
    sums: StepSums
    rows: Rows
    pos_entries: tuple[Tensor, Tensor]
    num_labelled: int
    pos_kept: Tensor | None
    pool: Pool
    pos_weights: Tensor
    positives_above: Tensor
    false_positives: Tensor
    shares: Tensor
    poison: Tensor

    @property
    def rank_among_positives(self) -> Tensor:
        """(P,) rank+_i = v_i + sum_{k != i} v_k H(p_k - p_i): the own pair counts fully."""
        return self.positives_above - self.steps.at_zero * self.pos_weights + self.pos_weights

    @property
    def rank_among_all(self) -> Tensor:
        """(P,) rank_i = rank+_i + FP_i."""
        return self.rank_among_positives + self.false_positives

    def join(self, values: Tensor, name: str) -> Tensor:
        """(P,) values of all positives, with gradient, from those of this process's positives.

        Raises:
            ValueError: ``values``, called ``name`` in the message, has another shape.
        """
        if values.shape != (self.num_labelled,):
            raise ValueError(
                f"{name} must have the shape ({self.num_labelled},), one for each positive, not "
                f"{tuple(values.shape)}"
            )
        return self.pool.join(values if self.pos_kept is None else values[self.pos_kept])


@torch.no_grad()
def rank(
    pred_logits: Tensor,
    gt_labels: Tensor,
    delta: float,
    image_idxs: Tensor | None = None,
    group: ProcessGroup | None = None,
    weights: Tensor | None = None,
) -> Ranking:
    """Compare every entry of a batch with every positive of its segment.

    Args:
        pred_logits: (M, K) logits.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored. A positive is the entry
            of a row and its label; all other entries of rows that are not ignored are negatives.
        delta: half the width of the step, in units of the logits, >= 0.
        image_idxs: (M,) int64, the image of each row: every image has its own ranking. None is one
            ranking of all rows.
        group: processes whose batches are ranked together; None is this process alone. Either all
            of them have weights or none.
        weights: (M,) weights of the samples, >= 0, or None for ones. A row of weight 0 counts as
            ignored.
    """
    gt_labels, has_ignored, pos_entries, pos_kept, num_labelled = labelled_rows(
        pred_logits, gt_labels, weights
    )
    weights = None if weights is None else weights.double()[:, None]
    segment_idxs, num_segments = rank_segments(gt_labels, image_idxs, group)
    segments = None if num_segments == 1 else segment_idxs[:, None]
    pool = Pool(len(pos_entries[0]), group, pred_logits.device)
    pos_scores = pool.join(at_least_float32(pred_logits[pos_entries])).double()
    is_finite = pos_scores.isfinite()
    pos_segments = None if segments is None else segments[pos_entries[0], 0]
    pos_weights = torch.ones_like(pos_scores)
    if weights is not None:
        pos_weights = pool.join(weights[pos_entries[0], 0])
    steps = Steps(pos_scores.where(is_finite, 0), delta, pos_segments, num_segments)
    sums = step_sums(steps, pred_logits)
    rows = Rows(gt_labels, segments, weights, has_ignored)
    histogram = sums.histogram(pred_logits, rows)
    is_broken = histogram.isnan().any() | ~is_finite.all()
    poison = histogram.new_zeros(1).masked_fill(is_broken, math.nan)
    own = steps.sum_over_scores(histogram), poison
    entries, poison = total(torch.cat(own), group).split([len(x) for x in own])
    totals = sum_by(steps.pos_segments, pos_weights, num_segments)
    positives_above = steps.sum_over_pairs(pos_weights)
    return Ranking(
        steps,
        sums,
        rows,
        pos_entries,
        num_labelled,
        pos_kept,
        pool,
        pos_weights,
        positives_above=positives_above,
        false_positives=(entries - positives_above).clamp(min=0),
        shares=pos_weights / (totals[steps.pos_segments] * (totals > 0).sum()) + poison,
        poison=poison[0],
    )
