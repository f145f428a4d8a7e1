"""Detectors of detectron2 whose sampling and losses are chosen by keys.

Importing this package registers ``ImbRetinaNet``, ``ImbROIHeads`` and ``ImbRPN``, and backbones
with a balanced feature pyramid.
"""

from imbdet import compat  # noqa: F401  (before detectron2)
from imbdet.modeling.balanced_fpn import BalancedFPN
from imbdet.modeling.fast_rcnn import ImbFastRCNNOutputLayers
from imbdet.modeling.retinanet import ImbRetinaNet
from imbdet.modeling.roi_heads import ImbROIHeads
from imbdet.modeling.rpn import ImbRPN

__all__ = ["BalancedFPN", "ImbFastRCNNOutputLayers", "ImbROIHeads", "ImbRPN", "ImbRetinaNet"]
