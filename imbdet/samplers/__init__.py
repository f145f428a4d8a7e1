"""Samplers choose the candidates that are learned from; they need torch and torchvision alone.

An option outside the range in its docstring raises a ValueError that names it.
"""

from imbdet.ops.nms import nms_clusters
from imbdet.samplers.instance_balanced import pick_instance_balanced
from imbdet.samplers.iou_balanced import IoUBalancedNegatives
from imbdet.samplers.ohem import HardSampler
from imbdet.samplers.prime import IoUHLRPositives, ScoreHLRNegatives
from imbdet.samplers.ratio import RatioSampler
from imbdet.samplers.sampler import (
    PairSampler,
    Pick,
    PoolSampler,
    QuotaSampler,
    Sampler,
    sample_all,
)
from imbdet.samplers.uniform import pick_all, pick_random

__all__ = [
    "HardSampler",
    "IoUBalancedNegatives",
    "IoUHLRPositives",
    "PairSampler",
    "Pick",
    "PoolSampler",
    "QuotaSampler",
    "RatioSampler",
    "Sampler",
    "ScoreHLRNegatives",
    "nms_clusters",
    "pick_all",
    "pick_instance_balanced",
    "pick_random",
    "sample_all",
]


def __dir__() -> list[str]:
    """Public names of the package, without its modules."""
    return __all__
