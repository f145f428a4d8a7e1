"""The two samplers without a preference: some at random, or all."""

import torch
from torch import Tensor

from imbdet.samplers.sampler import Pick
from imbdet.structures import Candidates


def pick_random(
    candidates: Candidates,
    pool: Tensor,
    quota: int,
    generator: torch.Generator | None = None,
) -> Pick:
    """Pick uniformly without replacement; see :class:`PoolSampler`."""
    return Pick(shuffle(pool, generator)[:quota])


def pick_all(
    candidates: Candidates,
    pool: Tensor,
    quota: int,
    generator: torch.Generator | None = None,
) -> Pick:
    """Pick the whole pool, whatever the quota; see :class:`PoolSampler`."""
    return Pick(pool)


def shuffle(pool: Tensor, generator: torch.Generator | None) -> Tensor:
    """The pool (n,) in random order."""
    return pool[torch.randperm(len(pool), device=pool.device, generator=generator)]
