"""COCO's metrics of a detector, and pictures of its detections."""

from imbdet import compat  # noqa: F401  (before detectron2)
from imbdet.evaluation.coco_evaluator import COCOEvaluator, build_coco_evaluator
from imbdet.evaluation.detection_pictures import draw_detections
from imbdet.evaluation.metrics import CocoMetrics

__all__ = [
    "COCOEvaluator",
    "CocoMetrics",
    "build_coco_evaluator",
    "draw_detections",
]
