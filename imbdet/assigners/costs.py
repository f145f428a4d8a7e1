"""What the costs of several assigners are made of."""

from torch import Tensor
from torch.nn.functional import softplus

# Of the focal loss (published values).
ALPHA, GAMMA = 0.25, 2
# Keeps the logarithm finite where nothing overlaps (published value).
EPS = 1e-7


def focal_cost(logits: Tensor, weight: float = 1.0) -> Tensor:
    """(...,) focal loss of classes that are absent; of classes that are present with -logits."""
    return weight * softplus(logits) * logits.sigmoid() ** GAMMA


def iou_cost(ious: Tensor) -> Tensor:
    """(...,) -ln IoU."""
    return -(ious + EPS).log()
