"""The ranks of a batch's positives among all its entries, which all ranking losses need.

Samples of several processes may be ranked together. Then each process compares its own entries with
the positives of all processes, whose scores are gathered, and the sums over entries are added.

Shape shorthand: M samples, K classes, P positives (of all processes, in the order of the
processes), G segments with a ranking of their own: images, or one of all.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from imbdet.kernels.chunks import iterate_chunks
from imbdet.kernels.step_sums import StepSums, step_sums
from imbdet.kernels.steps import Parts, Steps
from imbdet.ops.exchange import Pool, total
from imbdet.ops.labels import check_labels, positive_entries, rank_segments
from imbdet.ops.precision import at_least_float32


class Ranking(NamedTuple):
    """The positives of a batch among the entries of their segment.

    Attributes:
        steps: the positives' step functions.
        segments: (M, 1) int64 in [0, G), or None if there is one segment.
        sums: sums the steps over many logits.
        pos_entries: rows and classes of this process's positives.
        pool: the positives of all processes.
        positives_above: (P,) float64, sum_k H(p_k - p_i) over the positives, i itself included.
        false_positives: (P,) float64, FP_i = sum_j H(s_j - p_i) over the negatives, >= 0. It is a
            difference of large sums and may be 1e-10 where the truth is 0.
        num_negatives: (P,) float64, |N| of the segment.
        shares: (P,) float64, weights of the positives in the mean over segments of the means over
            positives; NaN with ``poison``.
        poison: scalar float64, NaN if a logit that counts is, or a positive's is infinite;
            otherwise 0.
    """

    steps: Steps
    segments: Tensor | None
    sums: StepSums
    pos_entries: tuple[Tensor, Tensor]
    pool: Pool
    positives_above: Tensor
    false_positives: Tensor
    num_negatives: Tensor
    shares: Tensor
    poison: Tensor

    @property
    def rank_among_positives(self) -> Tensor:
        """(P,) rank+_i = 1 + sum_{k != i} H(p_k - p_i): a sample's own pair counts fully."""
        return self.positives_above - self.steps.at_zero + 1

    @property
    def rank_among_all(self) -> Tensor:
        """(P,) rank_i = rank+_i + FP_i."""
        return self.rank_among_positives + self.false_positives

    def join(self, values: Tensor, name: str) -> Tensor:
        """(P,) values of all positives, with gradient, from the values of this process's.

        Raises:
            ValueError: ``values``, called ``name`` in the message, has another shape.
        """
        shape = self.pos_entries[0].shape
        if values.shape != shape:
            raise ValueError(
                f"{name} must have the shape {tuple(shape)}, one for each positive, not "
                f"{tuple(values.shape)}"
            )
        return self.pool.join(values)


@torch.no_grad()
def rank(
    pred_logits: Tensor,
    gt_labels: Tensor,
    delta: float,
    image_idxs: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> Ranking:
    """Compare every entry of a batch with every positive of its segment.

    Args:
        pred_logits: (M, K) logits.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored. A positive is the entry
            of a row and its label; all other entries of rows that are not ignored are negatives.
        delta: half the width of the step, in units of the logits, >= 0.
        image_idxs: (M,) int64, the image of each row: every image has its own ranking. None is one
            ranking of all rows.
        group: processes whose batches are ranked together; None is this process alone.
    """
    check_labels(pred_logits, gt_labels)
    segment_idxs, num_segments = rank_segments(gt_labels, image_idxs, group)
    segments = None if num_segments == 1 else segment_idxs[:, None]
    pos_entries = positive_entries(gt_labels, pred_logits.shape[1])
    pool = Pool(len(pos_entries[0]), group, pred_logits.device)
    pos_scores = pool.join(at_least_float32(pred_logits[pos_entries])).double()
    is_finite = pos_scores.isfinite()
    pos_segments = None if segments is None else segments[pos_entries[0], 0]
    steps = Steps(pos_scores.where(is_finite, 0), delta, pos_segments, num_segments)
    sums = step_sums(steps, pred_logits)
    histogram = sums.histogram(_ranked_parts(pred_logits, gt_labels, segments))
    is_broken = histogram.isnan().any() | ~is_finite.all()
    poison = histogram.new_zeros(1).masked_fill(is_broken, math.nan)
    own = steps.sum_over_scores(histogram), steps.segment_weights(histogram), poison
    entries, num_entries, poison = total(torch.cat(own), group).split([len(x) for x in own])
    num_positives = torch.bincount(steps.pos_segments, minlength=num_segments).double()
    own_positives = num_positives[steps.pos_segments]
    positives_above = steps.sum_over_pairs()
    return Ranking(
        steps,
        segments,
        sums,
        pos_entries,
        pool,
        positives_above=positives_above,
        false_positives=(entries - positives_above).clamp(min=0),
        num_negatives=num_entries[steps.pos_segments] - own_positives,
        shares=1 / (own_positives * (num_positives > 0).sum()) + poison,
        poison=poison[0],
    )


def _ranked_parts(pred_logits: Tensor, gt_labels: Tensor, segments: Tensor | None) -> Parts:
    """Logits and segments of the rows that are not ignored, positives included, in parts."""
    for chunk in iterate_chunks(pred_logits, gt_labels):
        logits, own = chunk.logits, rows_of(segments, chunk.rows)
        if chunk.is_ignored.any():
            is_ranked = ~chunk.is_ignored
            logits, own = logits[is_ranked], rows_of(own, is_ranked)
        yield logits, own


def rows_of(segments: Tensor | None, rows: slice | Tensor) -> Tensor | None:
    """Segments of some rows, if there are several segments."""
    return None if segments is None else segments[rows]
