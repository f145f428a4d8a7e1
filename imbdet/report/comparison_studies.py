"""The tables of ``imbdet compare`` by name."""

from collections.abc import Mapping

from imbdet.report.draw_comparison import (
    draw_curves,
    draw_score_by_iou,
    draw_score_by_rank,
    draw_score_iou,
)
from imbdet.report.draw_metrics import draw_class_ap, draw_coco, draw_error_types, draw_lrp
from imbdet.report.study import Study

_INTERVALS = (
    "Lines are intervals of 95 %, for other images of this kind. A hollow point is a difference "
    "that is undecided: its interval contains 0, or its objects are in too few images for one."
)
COMPARISON: Mapping[str, Study] = {
    "curves": Study(
        "Training",
        "The losses are smoothed, with the raw values faint behind them. Losses of different kinds "
        "have different scales: compare AP.",
        draw_curves,
    ),
    "coco": Study("COCO's metrics", _INTERVALS, draw_coco),
    "class_ap": Study(
        "AP of each class",
        f"The class that gains most comes first, numbers of objects in brackets. {_INTERVALS}",
        draw_class_ap,
    ),
    "error_types": Study(
        "Types of errors",
        "How much AP50 would rise if one kind of error were mended.",
        draw_error_types,
    ),
    "lrp": Study(
        "Optimal localisation recall precision",
        "The error at the best score threshold of each class, and its components: how badly right "
        "boxes fit (Loc), the shares of wrong detections (FP) and of missed objects (FN). Lower is "
        "better. Classes stand by the baseline's error, the worst first; one without a threshold "
        "is best not detected at all.",
        draw_lrp,
    ),
    "score_iou": Study(
        "Do scores tell how well boxes fit?",
        "Each cell is the number of detections with that score and that IoU, on a logarithmic "
        "scale of colours that all runs share. The more the scores follow the IoU, the better are "
        "the boxes that NMS keeps.",
        draw_score_iou,
        has_scale=True,
    ),
    "score_by_rank": Study(
        "Scores by rank",
        "Prime samples stand at the left; with importance-based reweighting they should gain most.",
        draw_score_by_rank,
    ),
    "score_by_iou": Study(
        "Scores by IoU",
        "With classification-aware regression the change should rise to the right.",
        draw_score_by_iou,
    ),
}
