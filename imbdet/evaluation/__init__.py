"""COCO's metrics of a detector, and pictures of what it finds."""

from imbdet import compat  # noqa: F401  (before detectron2)
from imbdet.evaluation.coco import COCOEvaluator, build_coco_evaluator
from imbdet.evaluation.metrics import CocoMetrics, compute_coco_metrics
from imbdet.evaluation.pictures import draw_detections

__all__ = [
    "COCOEvaluator",
    "CocoMetrics",
    "build_coco_evaluator",
    "compute_coco_metrics",
    "draw_detections",
]
