"""Detections on any images: pictures, and a file in COCO's format."""

from imbdet import compat  # noqa: F401  (before detectron2)
from imbdet.prediction.run_prediction import predict

__all__ = ["predict"]
