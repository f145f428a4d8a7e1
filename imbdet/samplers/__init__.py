"""Samplers choose which candidates learn; they need torch alone."""

from imbdet.samplers.sampler import Pick, PoolSampler, QuotaSampler, sample_all
from imbdet.samplers.uniform import pick_all, pick_random

__all__ = ["Pick", "PoolSampler", "QuotaSampler", "pick_all", "pick_random", "sample_all"]
