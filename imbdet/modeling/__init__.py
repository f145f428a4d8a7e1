"""Detectors of detectron2 whose sampling and losses are chosen by keys.

Importing this package registers ``ImbRetinaNet``, ``ImbROIHeads`` and ``ImbRPN``.
"""

from imbdet import compat  # noqa: F401  (before detectron2)
from imbdet.modeling.fast_rcnn import ImbFastRCNNOutputLayers
from imbdet.modeling.retinanet import ImbRetinaNet
from imbdet.modeling.roi_heads import ImbROIHeads
from imbdet.modeling.rpn import ImbRPN

__all__ = ["ImbFastRCNNOutputLayers", "ImbROIHeads", "ImbRPN", "ImbRetinaNet"]
