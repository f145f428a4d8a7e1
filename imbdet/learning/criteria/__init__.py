"""How samples pay: each for itself, or all by their ranking."""

from imbdet.learning.criteria.alrp import ALRPCriterion
from imbdet.learning.criteria.criterion import SCOPES, Criterion, all_processes, share_trouble
from imbdet.learning.criteria.pointwise import PointwiseCriterion
from imbdet.learning.criteria.rank_sort import RankSortCriterion
from imbdet.learning.criteria.ranking import RankingCriterion
from imbdet.learning.criteria.terms import BoxLoss, SampleLoss

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
    "share_trouble",
]
