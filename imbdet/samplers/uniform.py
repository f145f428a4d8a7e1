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
    order = torch.randperm(len(pool), device=pool.device, generator=generator)
    return Pick(pool[order[:quota]])


def pick_all(
    candidates: Candidates,
    pool: Tensor,
    quota: int,
    generator: torch.Generator | None = None,
) -> Pick:
    """Pick the whole pool, whatever the quota; see :class:`PoolSampler`."""
    return Pick(pool)
