"""Boxes of augmented images in pixels of the image files."""

import torch
from torch import Tensor

# The names of their edges in tables.
EDGES = ("x0", "y0", "x1", "y1")


def boxes_in_files(boxes: Tensor, to_file: Tensor) -> Tensor:
    """(R, 4) XYXY boxes in pixels of the image files.

    Args:
        boxes: (R, 4) XYXY in pixels of the images as the network sees them.
        to_file: (R, 2, 2) for each box, the factors of x and y, then the offsets, that convert its
            corners.
    """
    factors, shifts = to_file.to(boxes.device).unbind(1)
    corners = boxes.view(-1, 2, 2) * factors[:, None] + shifts[:, None]
    # A flip exchanges left and right.
    return torch.cat([corners.amin(dim=1), corners.amax(dim=1)], dim=1)
