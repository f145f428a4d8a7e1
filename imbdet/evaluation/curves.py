"""Precision by recall of each class, as COCO's libraries compute it."""

import numpy as np

from imbdet.evaluation.comparison import Comparison

# The recalls and IoU thresholds of COCO's libraries, and which of the latter are kept.
RECALLS = np.linspace(0, 1, 101)
IOU_PLACES = {"0.5": 0, "0.75": 5, "0.9": 8}
# Shorter numbers make a file of a third.
_DIGITS = 4


def precision_curves(comparison: Comparison) -> dict[str, dict[str, list[float]]]:
    """Precision in [0, 1] at each of :data:`RECALLS`, by class and IoU threshold.

    Classes without objects are left out.
    """
    return {
        name: {
            iou: comparison.precision[place, :, k, 0, -1].round(_DIGITS).tolist()
            for iou, place in IOU_PLACES.items()
        }
        for k, (name, number) in enumerate(comparison.objects)
        if number
    }
