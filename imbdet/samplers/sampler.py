"""How samplers fit together: one for positives and one for negatives, image by image."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from imbdet.structures import Candidates, Choice


class Pick(NamedTuple):
    """What was picked from a pool.

    Attributes:
        idxs: (S,) int64, distinct members of the pool.
        importance: (S,) float in (0, 1], 1 = most important; or None.
    """

    idxs: Tensor
    importance: Tensor | None = None


class PoolSampler(Protocol):
    """Picks among candidates of one image and one kind, positive or negative.

    A sampler that looks at ``candidates.predictions`` says so by an attribute
    ``needs_predictions = True``; plain functions need none.
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
            quota: how many to pick, >= 0.
            generator: source of randomness on the pool's device; None is torch's global one.
        """
        ...


class QuotaSampler:
    """Fills each image's quota with positives up to a fraction, and with negatives.

    The positives' unfilled quota goes to the negatives; ignored candidates are never chosen.
    """

    def __init__(
        self,
        positive: PoolSampler,
        negative: PoolSampler,
        *,
        batch_size_per_image: int,
        positive_fraction: float,
    ):
        """Combine two samplers.

        Args:
            positive: picks the positives.
            negative: picks the negatives.
            batch_size_per_image: quota B of an image.
            positive_fraction: in [0, 1]; at most floor(B * fraction) positives are asked for.
        """
        self.positive = positive
        self.negative = negative
        self.batch_size_per_image = batch_size_per_image
        # 1e-6: a product such as 100 * 0.29 may fall just short of the whole number it means.
        self.positive_quota = int(batch_size_per_image * positive_fraction + 1e-6)

    @property
    def needs_predictions(self) -> bool:
        """Whether the candidates must come with predictions."""
        samplers = (self.positive, self.negative)
        return any(getattr(sampler, "needs_predictions", False) for sampler in samplers)

    def __call__(self, candidates: Candidates, generator: torch.Generator | None = None) -> Choice:
        """Choose from each image, its positives first."""
        picks = []
        for pos_pool, neg_pool in _pools(candidates):
            pos = self.positive(candidates, pos_pool, self.positive_quota, generator)
            quota = max(self.batch_size_per_image - len(pos.idxs), 0)
            neg = self.negative(candidates, neg_pool, quota, generator)
            picks.append((pos, neg))
        return _join(picks)


def sample_all(candidates: Candidates, generator: torch.Generator | None = None) -> Choice:
    """Choose every candidate of the batch, as one-stage detectors do."""
    return Choice(slice(None), candidates.num_per_image)


def _pools(candidates: Candidates) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of the positives and of the negatives of each image."""
    start = 0
    for labels in candidates.gt_labels.split(list(candidates.num_per_image)):
        is_negative = labels == candidates.num_classes
        is_positive = (labels >= 0) & ~is_negative
        yield start + is_positive.nonzero().squeeze(1), start + is_negative.nonzero().squeeze(1)
        start += len(labels)


def _join(picks: list[tuple[Pick, Pick]]) -> Choice:
    parts = [pick for pair in picks for pick in pair]
    importance = None
    if any(pick.importance is not None for pick in parts):
        importance = torch.cat([_importance(pick) for pick in parts])
    num_per_image = [len(pos.idxs) + len(neg.idxs) for pos, neg in picks]
    return Choice(torch.cat([pick.idxs for pick in parts]), num_per_image, importance)


def _importance(pick: Pick) -> Tensor:
    if pick.importance is None:
        return pick.idxs.new_ones(pick.idxs.shape, dtype=torch.float32)
    return pick.importance
