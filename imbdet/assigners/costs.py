"""Terms that the costs of several assigners share."""

from torch import Tensor
from torch.nn.functional import softplus

# Balance and focusing exponent of the focal loss (published values).
ALPHA, GAMMA = 0.25, 2
# Keeps the logarithm finite where nothing overlaps (published value).
EPS = 1e-7


def focal_cost(logits: Tensor, weight: float = 1.0) -> Tensor:
    """(...,) focal loss of logits of absent classes; -logits give that of present classes."""
    return weight * softplus(logits) * logits.sigmoid() ** GAMMA


def iou_cost(ious: Tensor) -> Tensor:
    """(...,) -ln IoU."""
    return -(ious + EPS).log()
