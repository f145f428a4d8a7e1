"""How hard objects and images are for a training, by whether it learns and forgets them.

Shape shorthand: A objects, I images.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from imbdet.ops.sums import sum_by


def hardness_of_objects(objects: Mapping[str, Tensor]) -> Tensor:
    """How likely an object is not learnt when it is judged next: (A,) float64 in [0, 1].

    It is 1 if the object was not learnt at its last judged sight; otherwise the share of the sights
    at which it was learnt after which it was forgotten, so that an object which is learnt once and
    for all has 0. Forgetting events are those of Toneva et al., "An Empirical Study of Example
    Forgetting during Deep Neural Network Learning", ICLR 2019, https://arxiv.org/abs/1812.05159

    Args:
        objects: the columns "is_learnt", "learnt" and "forgotten" (A,) of a ledger.
    """
    is_forgotten_again = objects["forgotten"].double() / objects["learnt"].clamp(min=1)
    return is_forgotten_again.where(objects["is_learnt"], 1.0)


def hardness_of_images(hardness: Tensor, is_judged: Tensor, numbers: Tensor) -> Tensor:
    """The mean hardness of each image's judged objects: (I,) float64 in [0, 1].

    An image without judged objects has the mean of the other images, or 0 if there are none.

    Args:
        hardness: (A,) hardness of the objects, in [0, 1], image after image.
        is_judged: (A,) bool, whether the hardness of the object is known.
        numbers: (I,) int64, number of objects of each image.
    """
    images = torch.arange(len(numbers)).repeat_interleave(numbers)
    known = hardness.where(is_judged, 0.0)
    sums, counts = (sum_by(images, values, len(numbers)) for values in (known, is_judged))
    is_known = counts > 0
    means = sums / counts.clamp(min=1)
    return means.where(is_known, means.sum() / is_known.sum().clamp(min=1))
