"""Precision by recall of each class, as COCO's libraries compute it."""

from imbdet.evaluation.comparison import Comparison

# Places of the IoU thresholds that are kept, among those of COCO's libraries.
IOU_PLACES = {"0.5": 0, "0.75": 5, "0.9": 8}
# Rounded numbers make the file a third as large.
_DIGITS = 4


def precision_curves(comparison: Comparison) -> dict[str, dict[str, list[float]]]:
    """Precision in [0, 1] at each of COCO's 101 recalls, by class and IoU threshold.

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
