"""The priors of an image by its size alone, and their assigner."""

import math

import torch
from torch import Tensor, nn

from imbdet.advice.survey import Priming
from imbdet.modeling.dense import priors_of, strides_of
from imbdet.modeling.dense_detector import ImbDense
from imbdet.modeling.rpn import ImbRPN
from imbdet.structures import Priors


def priming_of(model: nn.Module) -> Priming | None:
    """The priming of the dense place of a detector: its head, or its RPN.

    Returns:
        None if the place is not one of imbdet, or its strides are unknown.
    """
    place = model if isinstance(model, ImbDense) else getattr(model, "proposal_generator", None)
    if not isinstance(place, ImbDense | ImbRPN) or strides_of(place.anchor_generator) is None:
        return None
    strides = strides_of(place.anchor_generator)
    divisor = max(model.backbone.size_divisibility, 1)

    def priors_at(width: int, height: int) -> Priors:
        anchors = place.anchor_generator([_features(width, height, s, divisor) for s in strides])
        return priors_of(anchors, place.anchor_generator)

    return Priming(priors_at, place.learner.assigner, tuple(strides), place.learner.place.module)


def _features(width: int, height: int, stride: int, divisor: int) -> Tensor:
    """Features of the padded image, of which only the shape is read."""
    padded = (math.ceil(side / divisor) * divisor for side in (height, width))
    return torch.empty(1, 1, *(math.ceil(side / stride) for side in padded))
