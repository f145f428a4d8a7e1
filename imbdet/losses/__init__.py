"""Losses as pure functions of tensors; they need torch alone."""

from imbdet.losses.alrp import alrp_loss
from imbdet.losses.ap import ap_loss
from imbdet.losses.auc import auc_loss
from imbdet.losses.cross_entropy import sigmoid_cross_entropy_loss, softmax_cross_entropy_loss
from imbdet.losses.focal import focal_loss
from imbdet.losses.iou import ciou_loss, diou_loss, giou_loss
from imbdet.losses.rank_sort import rank_sort_loss
from imbdet.losses.smooth_l1 import smooth_l1_loss

__all__ = [
    "alrp_loss",
    "ap_loss",
    "auc_loss",
    "ciou_loss",
    "diou_loss",
    "focal_loss",
    "giou_loss",
    "rank_sort_loss",
    "sigmoid_cross_entropy_loss",
    "smooth_l1_loss",
    "softmax_cross_entropy_loss",
]
