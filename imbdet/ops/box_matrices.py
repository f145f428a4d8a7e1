"""Areas of boxes, and areas that boxes share, as matrices of pairs.

Boxes are (..., 4) XYXY in pixels.
"""

import torch
from torch import Tensor

# Largest number of pairs in a matrix: 64 MB in float32.
MAX_PAIRS = 1 << 24
# Largest number of pairs on a CPU, in whose cache they stay: 1 MB.
MAX_PAIRS_ON_CPU = 1 << 18


def max_pairs(device: torch.device) -> int:
    """Largest number of pairs of boxes in a matrix; a larger one is computed in parts."""
    return MAX_PAIRS_ON_CPU if device.type == "cpu" else MAX_PAIRS


def by_columns(boxes: Tensor) -> Tensor:
    """The (..., R, 4) boxes or (..., R, 2) points with each coordinate contiguous in memory.

    Matrices of pairs with them are computed several times as fast.
    """
    return boxes.movedim(-1, 0).contiguous().movedim(0, -1)


def box_area(boxes: Tensor) -> Tensor:
    """(...,) areas of boxes, (..., 4)."""
    x1, y1, x2, y2 = boxes.unbind(dim=-1)
    return (x2 - x1) * (y2 - y1)


def intersection(boxes: Tensor, gt_boxes: Tensor) -> Tensor:
    """(...,) areas that boxes share with objects, whose leading sizes are broadcast."""
    x1, y1, x2, y2 = boxes.unbind(dim=-1)
    gt_x1, gt_y1, gt_x2, gt_y2 = gt_boxes.unbind(dim=-1)
    # In place where possible: with large matrices, new memory takes longer than arithmetic.
    width = torch.minimum(x2, gt_x2).sub_(torch.maximum(x1, gt_x1)).clamp_(min=0)
    height = torch.minimum(y2, gt_y2).sub_(torch.maximum(y1, gt_y1)).clamp_(min=0)
    return width.mul_(height)
