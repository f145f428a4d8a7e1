"""The initial score of a sigmoid classifier."""

import math

from torch import nn

from imbdet.errors import UserError


def set_prior(classifier: nn.Linear | nn.Conv2d, prior_prob: float, key: str) -> None:
    """Set the bias so that all scores start near ``prior_prob``; 0 leaves it as it is.

    Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, sec. 4.1.

    Raises:
        UserError: ``prior_prob``, the value of ``key``, is not in [0, 1).
    """
    if not 0 <= prior_prob < 1:
        raise UserError(f"{key} is {prior_prob}; it must be at least 0 and less than 1.")
    if prior_prob > 0:
        nn.init.constant_(classifier.bias, math.log(prior_prob / (1 - prior_prob)))
