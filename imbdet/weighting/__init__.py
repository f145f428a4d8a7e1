"""Weightings decide how much each sample weighs in the losses; they need torch alone.

An option outside the range in its docstring raises a ValueError that names it.
"""

from imbdet.ops.local_rank import hierarchical_local_rank
from imbdet.weighting.carl import carl_weights, gt_class_scores
from imbdet.weighting.importance import (
    ImportanceNegatives,
    ImportancePositives,
    importance_weights,
)
from imbdet.weighting.soft_sampling import SoftSampling
from imbdet.weighting.weights import Weighting, WeightingProduct, Weights, times

__all__ = [
    "ImportanceNegatives",
    "ImportancePositives",
    "SoftSampling",
    "Weighting",
    "WeightingProduct",
    "Weights",
    "carl_weights",
    "gt_class_scores",
    "hierarchical_local_rank",
    "importance_weights",
    "times",
]


def __dir__() -> list[str]:
    """Public names of the package, without its modules."""
    return __all__
