"""Detectors of detectron2 whose sampling and losses are chosen by keys.

Importing this package registers ``ImbDense``, ``ImbRetinaNet``, ``ImbROIHeads``,
``ImbCascadeROIHeads`` and ``ImbRPN``, and backbones whose feature pyramid is balanced, coarsest
from P5, or on a network of timm.
"""

from imbdet import compat  # noqa: F401  (before detectron2)
from imbdet.learning.criteria import (
    ALRPCriterion,
    BoxLoss,
    PointwiseCriterion,
    RankingCriterion,
    RankSortCriterion,
    SampleLoss,
)
from imbdet.modeling.balanced_fpn import balance_pyramid
from imbdet.modeling.cascade_roi_heads import ImbCascadeROIHeads
from imbdet.modeling.class_frequencies import give_class_frequencies
from imbdet.modeling.dense_detector import ImbDense
from imbdet.modeling.detector import build_model
from imbdet.modeling.fast_rcnn import ImbFastRCNNOutputLayers
from imbdet.modeling.ground_truth import GroundTruth
from imbdet.modeling.p5_fpn import build_p5_resnet_fpn_backbone
from imbdet.modeling.retinanet import ImbRetinaNet
from imbdet.modeling.roi_heads import ImbROIHeads
from imbdet.modeling.rpn import ImbRPN
from imbdet.modeling.timm_fpn import (
    TimmBackbone,
    build_p5_timm_fpn_backbone,
    build_timm_fpn_backbone,
)
from imbdet.modeling.unread_keys import refuse_unread_keys

__all__ = [
    "ALRPCriterion",
    "BoxLoss",
    "GroundTruth",
    "ImbCascadeROIHeads",
    "ImbDense",
    "ImbFastRCNNOutputLayers",
    "ImbROIHeads",
    "ImbRPN",
    "ImbRetinaNet",
    "PointwiseCriterion",
    "RankSortCriterion",
    "RankingCriterion",
    "SampleLoss",
    "TimmBackbone",
    "balance_pyramid",
    "build_model",
    "build_p5_resnet_fpn_backbone",
    "build_p5_timm_fpn_backbone",
    "build_timm_fpn_backbone",
    "give_class_frequencies",
    "refuse_unread_keys",
]
