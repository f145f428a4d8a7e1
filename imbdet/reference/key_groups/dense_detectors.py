"""Keys of RetinaNet and the other one-stage detectors."""

from imbdet.methods.options import Count, NonNegative


class RetinaNet:
    """Keys of ImbRetinaNet, beside detectron2's.

    Attributes:
        bbox_reg_loss_weight: weight of ImbRetinaNet's box loss, beside detectron2's keys of the
            same name for the others.
    """

    bbox_reg_loss_weight: float = 1.0


class Dense:
    """What ImbDense is made of, beside the keys of RetinaNet; the defaults are RetinaNet's.

    Attributes:
        priors: where it predicts: at the "anchors" of MODEL.ANCHOR_GENERATOR, or at "points", one
            in each cell of a feature map.
        boxes: as what boxes are predicted: "deltas" from the prior, "distances" from its centre to
            the four sides in strides, or "distributions" over these distances, 0 to REG_MAX.
        reg_max: largest distance that a distribution can express, in strides.
        level_scales: whether each level multiplies its boxes by a number that is learned.
        quality: what a quality branch learns, "centerness" or "iou", by whose score those of the
            classes are multiplied; empty is none.
        quality_loss_weight: factor of the quality branch's loss.
        dfl_loss_weight: factor of the distribution focal loss.
        box_quality: what the losses of boxes and distributions are weighed by, to be divided by its
            sum: "centerness", "iou", "score" (the highest of a class) or "assigned" (what the
            assigner gives); empty is by nothing.
        normalizer: by what losses are divided: "running_positives", a running number of positives;
            "positives", their number; "quality", the sum of what the assigner gives.
    """

    priors: str = "anchors"
    boxes: str = "deltas"
    reg_max: Count = 16
    level_scales: bool = False
    quality: str = ""
    quality_loss_weight: NonNegative = 1.0
    dfl_loss_weight: NonNegative = 0.25
    box_quality: str = ""
    normalizer: str = "running_positives"
