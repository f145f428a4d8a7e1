"""COCO's and LVIS's detection metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from imbdet.evaluation.comparison import Comparison
from imbdet.formats.lvis_json import FREQUENCIES


@dataclass(frozen=True)
class CocoMetrics:
    """Average precision and recall in percent; NaN where there is no ground truth.

    Attributes:
        overall: "AP" (mean over the IoU thresholds 0.5, 0.55, ..., 0.95), "AP50" and "AP75" (at one
            of them), "APs", "APm" and "APl" (objects of less than 32^2 pixels, in between, of more
            than 96^2), "APr", "APc" and "APf" (of classes that are rare, common and frequent in the
            training data; a group without objects is left out), all from the largest number of
            detections; "AR@1", "AR@10" and "AR@100", or other limits, the average recall of at most
            that many detections.
        per_class: by class name, the number of "objects", crowds excluded, "AP" and "AP50".
    """

    overall: dict[str, float]
    per_class: dict[str, dict[str, float]]

    @classmethod
    def of(
        cls, comparison: Comparison, frequencies: Mapping[str, str] = MappingProxyType({})
    ) -> "CocoMetrics":
        """The metrics of a comparison.

        Args:
            comparison: see :mod:`imbdet.evaluation.comparison`.
            frequencies: group of each class, "r", "c" or "f", by name, where it is known.
        """
        precision, recall = comparison.precision, comparison.recall
        per_class = {
            name: {
                "objects": number,
                "AP": _mean(precision[:, :, index, 0, -1]),
                "AP50": _mean(precision[0, :, index, 0, -1]),
            }
            for index, (name, number) in enumerate(comparison.objects)
        }
        by_size, by_limit = _mean_precisions(precision), _mean_recalls(recall, comparison.limits)
        by_frequency = _mean_of_groups(comparison, frequencies)
        return cls({**by_size, **by_frequency, **by_limit}, per_class)

    def flatten(self) -> dict[str, float]:
        """All metrics in one dict as detectron2's hooks take it, with keys like "AP50-person"."""
        of_classes = {
            f"{metric}-{name}": values[metric]
            for metric in ("AP", "AP50")
            for name, values in self.per_class.items()
        }
        return {**self.overall, **of_classes}


def _mean_precisions(precision: np.ndarray) -> dict[str, float]:
    return {
        "AP": _mean(precision[..., 0, -1]),
        "AP50": _mean(precision[0, ..., 0, -1]),
        "AP75": _mean(precision[5, ..., 0, -1]),
        "APs": _mean(precision[..., 1, -1]),
        "APm": _mean(precision[..., 2, -1]),
        "APl": _mean(precision[..., 3, -1]),
    }


def _mean_of_groups(comparison: Comparison, frequencies: Mapping[str, str]) -> dict[str, float]:
    groups = [frequencies.get(name) if number else None for name, number in comparison.objects]
    return {
        f"AP{letter}": _mean(comparison.precision[:, :, np.array(groups) == letter, 0, -1])
        for letter in FREQUENCIES
        if letter in groups
    }


def _mean_recalls(recall: np.ndarray, limits: Sequence[int]) -> dict[str, float]:
    return {f"AR@{limit}": _mean(recall[..., 0, i]) for i, limit in enumerate(limits)}


def _mean(values: np.ndarray) -> float:
    values = values[values > -1]
    return 100 * float(values.mean()) if values.size else float("nan")
