"""COCO's metrics of detections, without an evaluator."""

from imbdet.evaluation import CocoMetrics
from imbdet.evaluation.comparison import compare


def compute_coco_metrics(ground_truth, detections, **options):
    """Compare detections with ground truth; for the arguments see :func:`compare`."""
    return CocoMetrics.of(compare(ground_truth, detections, **options))
