"""The positives of each assigner on an image, side by side."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from imbdet.analysis.ground_truth_boxes import draw_regions
from imbdet.drawing.style import CATEGORIES, WIDTH, new_figure
from imbdet.figures.columns import Columns, object_by

_NUM_COLUMNS = 4
# Colours of the objects, one after the other, without the grey; they repeat if there are more.
_COLORS = [color for i, color in enumerate(CATEGORIES) if i != 7]


def draw_assigners(
    pixels: np.ndarray,
    candidates: Columns,
    gt_boxes: np.ndarray,
    regions: np.ndarray,
    names: Sequence[str],
) -> Figure:
    """Draw a panel for each assigner: objects, and the centres of their positives in their colours.

    Args:
        pixels: (H, W, 3) uint8, RGB.
        candidates: corners of the image's candidates, and the columns of the assigners.
        gt_boxes: (G, 4) XYXY boxes of the objects.
        regions: (I, 4) XYXY ignored regions, which are dashed.
        names: names of the assigners.
    """
    height, width = pixels.shape[:2]
    num_rows = -(-len(names) // _NUM_COLUMNS)
    panel_width = WIDTH / _NUM_COLUMNS
    figure = new_figure(num_rows * (panel_width * height / width + 0.3), layout="compressed")
    panels = figure.subplots(num_rows, _NUM_COLUMNS, squeeze=False).flatten()
    grey = pixels @ np.array([0.299, 0.587, 0.114]) * 0.5
    x = (candidates["x0"] + candidates["x1"]) / 2
    y = (candidates["y0"] + candidates["y1"]) / 2
    colors = np.array([_COLORS[i % len(_COLORS)] for i in range(max(len(gt_boxes), 1))])
    for axes in panels:
        axes.set_axis_off()
    for axes, name in zip(panels, names, strict=False):
        axes.imshow(grey, cmap="gray", vmin=0, vmax=255)
        axes.autoscale(False)
        objects = candidates[object_by(name)]
        rows = np.flatnonzero(objects >= 0)
        axes.set_title(f"{name} ({len(rows)})", loc="left")
        for (x0, y0, x1, y1), color in zip(gt_boxes, colors, strict=False):
            axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=color))
        draw_regions(axes, regions)
        axes.scatter(x[rows], y[rows], s=5, color=colors[objects[rows]], linewidths=0)
    return figure
