"""Criteria: losses of samples by themselves, or of their ranking."""

from imbdet.learning.criteria.alrp_criterion import ALRPCriterion
from imbdet.learning.criteria.criterion import SCOPES, Criterion, all_processes, share_non_finite
from imbdet.learning.criteria.pointwise_criterion import PointwiseCriterion
from imbdet.learning.criteria.positive_terms import DistributionLoss, QualityLoss
from imbdet.learning.criteria.rank_sort_criterion import RankSortCriterion
from imbdet.learning.criteria.ranking_criterion import RankingCriterion
from imbdet.learning.criteria.terms import BoxLoss, SampleLoss

__all__ = [
    "SCOPES",
    "ALRPCriterion",
    "BoxLoss",
    "Criterion",
    "DistributionLoss",
    "PointwiseCriterion",
    "QualityLoss",
    "RankSortCriterion",
    "RankingCriterion",
    "SampleLoss",
    "all_processes",
    "share_non_finite",
]
