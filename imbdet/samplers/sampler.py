"""Protocols of samplers, and pairs of one for positives and one for negatives of each image."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import Annotated, NamedTuple, Protocol

import torch
from torch import Tensor

from imbdet.methods.options import NonNegative, Range, Share, checked
from imbdet.ops.transfer import to_device
from imbdet.structures import Candidates, Choice, needs_of

# Number of samples of an image that are requested.
Quota = Annotated[int, Range(0)]


class Pick(NamedTuple):
    """The members that were picked from a pool.

    Attributes:
        idxs: (S,) int64, distinct members of the pool.
        importance: (S,) float in (0, 1], 1 = most important; or None.
    """

    idxs: Tensor
    importance: Tensor | None = None


# Picks from a pool, given a quota and a source of randomness: see ``PoolSampler``.
PickFrom = Callable[[int, torch.Generator | None], Pick]


class PoolSampler(Protocol):
    """Picks among candidates of one image and one kind, positive or negative.

    A sampler that uses outputs or losses declares it by an attribute ``needs``; see
    :func:`imbdet.structures.needs_of`. Plain functions need neither.

    One that uses the pools of all images at once is a :class:`PoolsSampler`.
    """

    def __call__(
        self,
        candidates: Candidates,
        pool: Tensor,
        quota: int,
        generator: torch.Generator | None = None,
    ) -> Pick:
        """Pick at most ``quota`` of the pool.

        Args:
            candidates: all candidates of the batch.
            pool: (n,) int64, rows of the candidates to pick from.
            quota: number of members to pick, >= 0.
            generator: source of randomness on the pool's device; None is torch's global one.
        """
        ...


class PoolsSampler(ABC):
    """A :class:`PoolSampler` that ranks the pools of all images at once, then picks from each."""

    def __call__(
        self,
        candidates: Candidates,
        pool: Tensor,
        quota: int,
        generator: torch.Generator | None = None,
    ) -> Pick:
        """See :class:`PoolSampler`."""
        (pick,) = self.of_pools(candidates, [pool])
        return pick(quota, generator)

    @abstractmethod
    def of_pools(self, candidates: Candidates, pools: Sequence[Tensor]) -> list[PickFrom]:
        """Functions that pick from each of several pools; random numbers are drawn in their calls.

        Args:
            candidates: all candidates of the batch.
            pools: pool of each image, see :class:`PoolSampler`.
        """


class Sampler(Protocol):
    """Chooses among the candidates of a batch; see :func:`imbdet.structures.needs_of`."""

    def __call__(self, candidates: Candidates, generator: torch.Generator | None = None) -> Choice:
        """Choose among the candidates.

        Args:
            candidates: candidates of the batch.
            generator: source of randomness on their device; None is torch's global one.
        """
        ...


class PairSampler(ABC):
    """Chooses from each image by one sampler of positives and one of negatives.

    Ignored candidates are never chosen. A subclass defines how many of each are requested.
    """

    def __init__(self, positive: PoolSampler, negative: PoolSampler):
        """Combine two samplers.

        Args:
            positive: sampler of the positives.
            negative: sampler of the negatives.
        """
        self.positive = positive
        self.negative = negative

    @property
    def needs(self) -> frozenset[str]:
        """The needs of both samplers; see :func:`needs_of`."""
        return needs_of(self.positive) | needs_of(self.negative)

    @abstractmethod
    def max_positives(self, num_available: int) -> int:
        """Quota of positives in an image that has ``num_available``."""

    @abstractmethod
    def max_negatives(self, num_positives: int) -> int:
        """Quota of negatives after ``num_positives`` positives have been picked."""

    def __call__(self, candidates: Candidates, generator: torch.Generator | None = None) -> Choice:
        """Choose from each image, its positives first."""
        pos_pools, neg_pools = _pools(candidates)
        numbers = map(len, pos_pools)
        pick_pos = _of_pools(self.positive, candidates, pos_pools)
        pick_neg = _of_pools(self.negative, candidates, neg_pools)
        picks = []
        for number, positives, negatives in zip(numbers, pick_pos, pick_neg, strict=True):
            pos = positives(self.max_positives(number), generator)
            neg = negatives(self.max_negatives(len(pos.idxs)), generator)
            picks.append((pos, neg))
        return _join(picks)


@checked
class QuotaSampler(PairSampler):
    """Fills each image's quota with positives up to a fraction, and with negatives.

    The positives' unfilled quota goes to the negatives.
    """

    def __init__(
        self,
        positive: PoolSampler,
        negative: PoolSampler,
        *,
        batch_size_per_image: Quota,
        positive_fraction: Share,
        max_neg_pos_ratio: NonNegative = math.inf,
    ):
        """Combine two samplers.

        Args:
            positive: sampler of the positives.
            negative: sampler of the negatives.
            batch_size_per_image: quota B of an image.
            positive_fraction: fraction of the quota for positives, floor(B * fraction) at most.
            max_neg_pos_ratio: largest number of negatives per positive; an image without positives
                counts as one with a single positive.
        """
        super().__init__(positive, negative)
        self.batch_size_per_image = batch_size_per_image
        self.max_neg_pos_ratio = max_neg_pos_ratio
        self.positive_quota = floor_quota(batch_size_per_image * positive_fraction)

    def max_positives(self, num_available: int) -> int:
        return self.positive_quota

    def max_negatives(self, num_positives: int) -> int:
        quota = max(self.batch_size_per_image - num_positives, 0)
        limit = self.max_neg_pos_ratio * max(num_positives, 1)
        return quota if limit >= quota else floor_quota(limit)


def floor_quota(product: float) -> int:
    """Round a share of a quota, >= 0, down to a whole number."""
    # 1e-6, as rounding may leave a product such as 100 * 0.29 just below a whole number.
    return int(product + 1e-6)


def sample_all(candidates: Candidates, generator: torch.Generator | None = None) -> Choice:
    """Choose every candidate of the batch, as one-stage detectors do."""
    return Choice(slice(None), candidates.num_per_image)


def _pools(candidates: Candidates) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Rows of the positives of each image, and of the negatives."""
    rows = candidates.pos_idxs, candidates.neg_idxs
    if len(candidates.num_per_image) == 1:
        return rows[:1], rows[1:]
    inner_ends = to_device(list(accumulate(candidates.num_per_image))[:-1], rows[0].device)
    # Ends of the images among the rows of either kind, in one transfer from the device.
    cuts = torch.stack([torch.searchsorted(of_kind, inner_ends) for of_kind in rows]).tolist()
    return rows[0].tensor_split(cuts[0]), rows[1].tensor_split(cuts[1])


def _of_pools(
    sampler: PoolSampler, candidates: Candidates, pools: Sequence[Tensor]
) -> list[PickFrom]:
    """Functions that pick from each pool."""
    if isinstance(sampler, PoolsSampler):
        return sampler.of_pools(candidates, pools)
    return [partial(sampler, candidates, pool) for pool in pools]


def _join(picks: list[tuple[Pick, Pick]]) -> Choice:
    parts = [pick for pair in picks for pick in pair]
    importance = None
    if any(pick.importance is not None for pick in parts):
        importance = torch.cat([_importance(pick) for pick in parts])
    return Choice(
        torch.cat([pick.idxs for pick in parts]),
        [len(pos.idxs) + len(neg.idxs) for pos, neg in picks],
        importance,
        num_positives=[len(pos.idxs) for pos, _ in picks],
    )


def _importance(pick: Pick) -> Tensor:
    if pick.importance is None:
        return pick.idxs.new_ones(pick.idxs.shape, dtype=torch.float32)
    return pick.importance
