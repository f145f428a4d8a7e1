"""How samples pay: each for itself, or all by their ranking."""

from imbdet.modeling.criteria.alrp import ALRPCriterion
from imbdet.modeling.criteria.criterion import SCOPES, Criterion, all_processes
from imbdet.modeling.criteria.pointwise import PointwiseCriterion
from imbdet.modeling.criteria.rank_sort import RankSortCriterion
from imbdet.modeling.criteria.ranking import RankingCriterion
from imbdet.modeling.criteria.terms import BoxLoss, SampleLoss

__all__ = [
    "SCOPES",
    "ALRPCriterion",
    "BoxLoss",
    "Criterion",
    "PointwiseCriterion",
    "RankSortCriterion",
    "RankingCriterion",
    "SampleLoss",
    "all_processes",
]
