"""The choice of negatives to record: the hardest and a random part of the rest."""

from typing import NamedTuple

import torch
from torch import Tensor

from imbdet.records.sample_record import SampleRecord
from imbdet.samplers.uniform import shuffle


class NegativeStrata(NamedTuple):
    """Negatives that represent all negatives.

    Attributes:
        rows: (S,) int64, distinct rows of the record, image after image.
        weights: (S,) float64, inverse of the probability with which each was drawn, >= 1: how many
            negatives of its image it represents.
    """

    rows: Tensor
    weights: Tensor


def draw_negatives(
    record: SampleRecord, num_hard: int, num_random: int, generator: torch.Generator | None = None
) -> NegativeStrata:
    """Keep the hardest negatives of each image for certain, and a random draw of the rest.

    The sum of any quantity over those kept, times their weights, has the sum over all negatives as
    its expectation; their number is exact.

    Args:
        record: record of the samples. The hardest have the highest classification losses or, if no
            sample has one, the highest scores.
        num_hard: number of the hardest negatives of each image, >= 0.
        num_random: number of drawn negatives of each image, >= 1.
        generator: source of randomness on the record's device, or None.
    """
    candidates = record.samples.candidates
    hardness = record.scores if record.cls_losses is None else record.cls_losses
    rows, weights, start = [], [], 0
    for is_negative_i in candidates.is_negative.split(list(candidates.num_per_image)):
        pool = start + is_negative_i.nonzero().squeeze(1)
        hardest = hardness[pool].topk(min(num_hard, len(pool))).indices
        is_hard = torch.zeros_like(pool, dtype=torch.bool).index_fill(0, hardest, True)
        rest = pool[~is_hard]
        drawn = shuffle(rest, generator)[:num_random]
        weight = len(rest) / max(len(drawn), 1)
        rows += [pool[is_hard], drawn]
        weights += [1.0] * len(hardest) + [weight] * len(drawn)
        start += len(is_negative_i)
    return NegativeStrata(
        torch.cat(rows), torch.tensor(weights, dtype=torch.float64, device=hardness.device)
    )
