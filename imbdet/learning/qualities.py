"""Qualities of positives in [0, 1]: targets of a quality branch, and weights of box losses.

Shape shorthand: P positives.
"""

from collections.abc import Callable, Mapping

from torch import Tensor

from imbdet.ops.distances import DistanceTransform
from imbdet.structures import Samples

# Returns (P,) qualities, detached.
Quality = Callable[[Samples], Tensor]


def centerness(samples: Samples) -> Tensor:
    """1 in the centre of the object and 0 at its sides (Tian et al., ICCV 2019, eq. 3).

    Priors whose centre lies outside of their object have a centerness of 0.
    """
    positives = samples.positives
    sides = DistanceTransform().get_deltas(positives.boxes, positives.gt_boxes).clamp(min=0)
    quotients = []
    for near, far in (sides[:, 0::2].aminmax(dim=1), sides[:, 1::2].aminmax(dim=1)):
        quotients.append(near / far.where(far > 0, 1))
    return (quotients[0] * quotients[1]).sqrt()


def iou(samples: Samples) -> Tensor:
    """IoU of the decoded boxes with their objects."""
    return samples.positives.pred_ious


def score(samples: Samples) -> Tensor:
    """The highest score of any class."""
    return samples.outputs.take(samples.pos_idxs).detach().scores.amax(dim=1)


def assigned(samples: Samples) -> Tensor:
    """The quality of the assigner, if it grades positives; otherwise the IoU."""
    return samples.pos_quality


QUALITIES: Mapping[str, Quality] = {
    quality.__name__: quality for quality in (centerness, iou, score, assigned)
}
