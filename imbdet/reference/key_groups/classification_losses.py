"""Keys that classification losses share."""


class ClsLoss:
    """What holds for several classification losses.

    Attributes:
        scope: over which samples rankings, normalizers and counts run, in this loss and in the box
            loss beside it: "batch", those of one process; "global", those of all processes;
            "image", for losses of a ranking, those of one process with a ranking of each image.
        guided_scale: whether to bring the classification loss to the value of the box loss: for
            sampling "all".
    """

    scope: str = "batch"
    guided_scale: bool = False
