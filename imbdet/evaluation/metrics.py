"""COCO's detection metrics."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from imbdet.evaluation.comparison import Comparison, compare


@dataclass(frozen=True)
class CocoMetrics:
    """Average precision and recall in percent; NaN where there is no ground truth.

    Attributes:
        overall: "AP" (mean over the IoU thresholds 0.5, 0.55, ..., 0.95), "AP50" and "AP75" (at one
            of them), "APs", "APm" and "APl" (objects of less than 32^2 pixels, in between, of more
            than 96^2), all from at most ``max_detections`` per image and class; "AR@1", "AR@10" and
            "AR@100" (or another maximum), the average recall of at most that number.
        per_class: for each class name the number of "objects", crowds excluded, "AP" and "AP50".
    """

    overall: dict[str, float]
    per_class: dict[str, dict[str, float]]

    @classmethod
    def of(cls, comparison: Comparison) -> "CocoMetrics":
        """The metrics of a comparison."""
        precision, recall = comparison.precision, comparison.recall
        per_class = {
            name: {
                "objects": number,
                "AP": _mean(precision[:, :, index, 0, -1]),
                "AP50": _mean(precision[0, :, index, 0, -1]),
            }
            for index, (name, number) in enumerate(comparison.objects)
        }
        return cls(_summarize(precision, recall, comparison.max_detections), per_class)

    def flatten(self) -> dict[str, float]:
        """All in one dict as detectron2's hooks take it, with keys like "AP50-person"."""
        of_classes = {
            f"{metric}-{name}": values[metric]
            for metric in ("AP", "AP50")
            for name, values in self.per_class.items()
        }
        return {**self.overall, **of_classes}


def compute_coco_metrics(
    ground_truth: Mapping, detections: Iterable[Mapping], **options: Any
) -> CocoMetrics:
    """Compare detections with ground truth; for the arguments see :func:`compare`."""
    return CocoMetrics.of(compare(ground_truth, detections, **options))


def _summarize(precision: np.ndarray, recall: np.ndarray, max_detections: int) -> dict[str, float]:
    return {
        "AP": _mean(precision[..., 0, -1]),
        "AP50": _mean(precision[0, ..., 0, -1]),
        "AP75": _mean(precision[5, ..., 0, -1]),
        "APs": _mean(precision[..., 1, -1]),
        "APm": _mean(precision[..., 2, -1]),
        "APl": _mean(precision[..., 3, -1]),
        "AR@1": _mean(recall[..., 0, 0]),
        "AR@10": _mean(recall[..., 0, 1]),
        f"AR@{max_detections}": _mean(recall[..., 0, 2]),
    }


def _mean(values: np.ndarray) -> float:
    values = values[values > -1]
    return 100 * float(values.mean()) if values.size else float("nan")
