"""Sums over the pairs of positives that have different IoUs, without a loop over pairs.

Number the distinct IoUs 0, 1, 2, ... in ascending order, segment after segment. Then IoU_k < IoU_i
exactly if, in the highest bit in which their numbers differ, k has a 0 and i a 1. So for each bit
the positives of a segment fall into groups whose numbers agree in all higher bits, and within a
group each positive with a 0 is lower than each with a 1: every pair of different IoUs meets in one
group of one bit. The groups of all bits are the segments of one set of :class:`Steps`. The cost is
O(P log^2 P).

Shape shorthand: P positives.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from imbdet.kernels.steps import Part, Steps
from imbdet.ops.masks import split_idxs


class WrongPairs:
    """The pairs k, i of positives of one segment with IoU_k < IoU_i, each counted by H(s_k - s_i).

    Args:
        steps: steps of the positives and their segments.
        ious: (P,) float64 IoUs of the positives.
    """

    def __init__(self, steps: Steps, ious: Tensor):
        self.num_positives = len(ious)
        numbers, segments = _ascending_numbers(ious, steps), steps.pos_segments
        num_bits = max(len(ious) - 1, 0).bit_length()
        bits = torch.arange(num_bits, device=ious.device)[:, None]
        is_higher = ((numbers >> bits) & 1).flatten() == 1  # [bits, P]
        # Segments and higher bits of the numbers ascend together, so that their sum is a group.
        num_other = steps.num_segments - 1
        firsts = 2**num_bits - (torch.full_like(bits, 2**num_bits) >> bits) + num_other * bits
        group_idxs = (firsts + segments + (numbers >> (bits + 1))).flatten()
        num_groups = 2**num_bits - 1 + num_other * num_bits
        higher, lower = split_idxs(is_higher)
        self.lower, self.higher = lower % len(ious), higher % len(ious)
        self.lower_groups = group_idxs[lower]
        self.lower_scores = steps.pos_scores[self.lower]
        self.steps = Steps(
            steps.pos_scores[self.higher], steps.delta, group_idxs[higher], num_groups
        )

    def sum_over_lower(self, values: Tensor) -> Tensor:
        """(P,) sum_k x_k H(s_k - s_i) over the k with IoU_k < IoU_i, for each positive i.

        Args:
            values: (P,) float64 x_k.
        """
        part = Part(self.lower_scores, self.lower_groups, values[self.lower])
        histogram = self.steps.bucket_sums(part)
        return self._total(self.higher, self.steps.sum_over_scores(histogram))

    def sum_over_higher(self, values: Tensor) -> Tensor:
        """(P,) sum_i x_i H(s_k - s_i) over the i with IoU_i > IoU_k, for each positive k.

        Args:
            values: (P,) float64 x_i.
        """
        lines = self.steps.sum_over_positives(values[self.higher])
        return self._total(self.lower, lines.at(self.lower_scores, self.lower_groups))

    def _total(self, positives: Tensor, sums: Tensor) -> Tensor:
        """(P,) sums over all groups of each positive."""
        return sums.new_zeros(self.num_positives).index_add_(0, positives, sums)


def _ascending_numbers(ious: Tensor, steps: Steps) -> Tensor:
    """(P,) int64 numbers from 0 on, by segment and then by IoU; equal where both are equal."""
    order = ious.argsort()
    if steps.num_segments > 1:
        order = order[steps.pos_segments[order].argsort(stable=True)]
    is_next = (ious[order].diff() != 0) | (steps.pos_segments[order].diff() != 0)
    return torch.empty_like(order).scatter_(0, order, F.pad(is_next.cumsum(dim=0), (1, 0)))
