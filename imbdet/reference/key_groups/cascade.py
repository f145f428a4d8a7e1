"""Keys of the stages of a cascade."""

from typing import Any


class Cascade:
    """The stages of a cascade, beside detectron2's IOUS and BBOX_REG_WEIGHTS.

    Attributes:
        stages: keys of each stage, which count more than those that the stages share: a list with a
            group for each, such as [{}, {CLS_LOSS: {NAME: focal}}, {}]. Its groups are ASSIGNER,
            SAMPLER, WEIGHTING, CARL, CLS_LOSS and BOX_LOSS. Empty is detectron2's: only the first
            stage samples, the later ones take all that it chose. [{}, {}, {}] has three stages
            sample alike, as MMDetection does.
        loss_weights: factors of the losses of each stage, such as MMDetection's [1.0, 0.5, 0.25].
            Empty is detectron2's: each counts 1, and of the gradients of the features the mean over
            the stages is taken.
    """

    stages: list[dict[str, Any]] = []  # noqa: RUF012  (copied into each config)
    loss_weights: list[float] = []  # noqa: RUF012
