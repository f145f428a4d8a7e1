"""Keys of the best evaluation of a training, which decides on kept weights and the end."""

from typing import Annotated

from imbdet.methods.options import NonNegative, Range


class Best:
    """The best evaluation of a training, and its end where evaluations get no better.

    Attributes:
        metric: by which evaluations are compared, as metrics.json names it, such as "bbox/AP"; with
            several test sets the name of one comes first, "coco_2017_val/bbox/AP". The weights of
            the best one are kept as OUTPUT_DIR/model_best.pth. Empty is to keep none.
        patience: after how many evaluations without gain the training ends; 0 is never.
        min_delta: how much better METRIC must be to be a gain for PATIENCE, in its own unit.
    """

    metric: str = ""
    patience: Annotated[int, Range(0)] = 0
    min_delta: NonNegative = 0.0
