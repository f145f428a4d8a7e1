"""Samplers that prefer no candidates: a random choice, or all."""

import torch
from torch import Tensor

from imbdet.methods import NEGATIVE_SAMPLERS, POSITIVE_SAMPLERS
from imbdet.samplers.sampler import Pick
from imbdet.structures import Candidates


@POSITIVE_SAMPLERS.register(
    "random",
    "Uniformly at random up to the quota: detectron2's sampler.",
    also=NEGATIVE_SAMPLERS,
)
def pick_random(
    candidates: Candidates,
    pool: Tensor,
    quota: int,
    generator: torch.Generator | None = None,
) -> Pick:
    """Pick uniformly without replacement; see :class:`PoolSampler`."""
    return Pick(pool[random_order(pool, generator)[:quota]])


@POSITIVE_SAMPLERS.register(
    "all",
    "No sampling.",
    "Chen et al., TIP 2021, https://arxiv.org/abs/1909.04868",
    also=NEGATIVE_SAMPLERS,
)
def pick_all(
    candidates: Candidates,
    pool: Tensor,
    quota: int,
    generator: torch.Generator | None = None,
) -> Pick:
    """Pick the whole pool, whatever the quota; see :class:`PoolSampler`."""
    return Pick(pool)


def random_order(pool: Tensor, generator: torch.Generator | None) -> Tensor:
    """(n,) int64 indices into a pool (n,), in random order."""
    return torch.randperm(len(pool), device=pool.device, generator=generator)


def shuffle(pool: Tensor, generator: torch.Generator | None) -> Tensor:
    """The pool (n,) in random order."""
    return pool[random_order(pool, generator)]
