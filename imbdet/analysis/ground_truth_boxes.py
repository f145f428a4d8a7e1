"""The ground truth of an image, drawn in white: objects, and dashed the ignored regions."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle


def draw_objects(axes: Axes, gt_boxes: np.ndarray) -> None:
    """Draw the (G, 4) XYXY boxes of objects."""
    _draw(axes, gt_boxes, linewidth=1.8)


def draw_regions(axes: Axes, regions: np.ndarray) -> None:
    """Draw (I, 4) XYXY ignored regions."""
    _draw(axes, regions, linewidth=1.2, linestyle="--")


def _draw(axes: Axes, boxes: np.ndarray, **style: Any) -> None:
    for x0, y0, x1, y1 in boxes:
        axes.add_patch(
            Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor="white", **style)
        )
