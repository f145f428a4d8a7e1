"""Losses as pure functions of tensors; they need torch alone.

A shape, option or label that contradicts a docstring raises a ValueError that names it. The values
of logits, boxes and IoUs are not checked: in rows that are not ignored, NaN makes a loss NaN, and
so does an infinite logit of a positive in a ranking loss.
"""

from imbdet.losses.alrp import alrp_loss
from imbdet.losses.ap import ap_loss
from imbdet.losses.asl1 import asl1_loss
from imbdet.losses.auc import auc_loss
from imbdet.losses.balanced_groups import (
    BalancedGroupLoss,
    BalancedGroups,
    balanced_group_loss,
    draw_group_samples,
)
from imbdet.losses.balanced_l1 import balanced_l1_loss
from imbdet.losses.class_balance import class_balanced_weights
from imbdet.losses.class_frequencies import ClassFrequencies, FrequencyLoss
from imbdet.losses.cross_entropy import sigmoid_cross_entropy_loss, softmax_cross_entropy_loss
from imbdet.losses.distribution_focal import distribution_focal_loss, expected_distance
from imbdet.losses.dr import dr_loss
from imbdet.losses.effective_class_margin import effective_class_margin_loss
from imbdet.losses.eqlv2 import EQLv2Loss
from imbdet.losses.equalization import equalization_loss
from imbdet.losses.equalized_focal import EqualizedFocalLoss, EqualizedQualityFocalLoss
from imbdet.losses.equilibrium import EquilibriumLoss
from imbdet.losses.federated import (
    draw_federated_classes,
    drawn_federated_loss,
    federated_loss,
)
from imbdet.losses.focal import focal_loss
from imbdet.losses.ghm import GHMCLoss, GHMRLoss
from imbdet.losses.iou import ciou_loss, diou_loss, giou_loss
from imbdet.losses.iou_aware_bce import iou_aware_bce_loss
from imbdet.losses.logit_adjustment import frequency_adjusted_loss, logit_adjusted_loss
from imbdet.losses.matchability_aware import matchability_aware_loss
from imbdet.losses.position_supervised import position_supervised_loss
from imbdet.losses.quality import quality_focal_loss, varifocal_loss
from imbdet.losses.rank_sort import rank_sort_loss
from imbdet.losses.seesaw import SeesawLoss
from imbdet.losses.smooth_l1 import decayed_smooth_l1_loss, l1_loss, smooth_l1_loss

__all__ = [
    "BalancedGroupLoss",
    "BalancedGroups",
    "ClassFrequencies",
    "EQLv2Loss",
    "EqualizedFocalLoss",
    "EqualizedQualityFocalLoss",
    "EquilibriumLoss",
    "FrequencyLoss",
    "GHMCLoss",
    "GHMRLoss",
    "SeesawLoss",
    "alrp_loss",
    "ap_loss",
    "asl1_loss",
    "auc_loss",
    "balanced_group_loss",
    "balanced_l1_loss",
    "ciou_loss",
    "class_balanced_weights",
    "decayed_smooth_l1_loss",
    "diou_loss",
    "distribution_focal_loss",
    "dr_loss",
    "draw_federated_classes",
    "draw_group_samples",
    "drawn_federated_loss",
    "effective_class_margin_loss",
    "equalization_loss",
    "expected_distance",
    "federated_loss",
    "focal_loss",
    "frequency_adjusted_loss",
    "giou_loss",
    "iou_aware_bce_loss",
    "l1_loss",
    "logit_adjusted_loss",
    "matchability_aware_loss",
    "position_supervised_loss",
    "quality_focal_loss",
    "rank_sort_loss",
    "sigmoid_cross_entropy_loss",
    "smooth_l1_loss",
    "softmax_cross_entropy_loss",
    "varifocal_loss",
]


def __dir__() -> list[str]:
    """Public names of the package, without its modules."""
    return __all__
