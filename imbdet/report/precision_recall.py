"""Precision by recall, with the point at which each class is best used."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from imbdet.report.plots import Plot, line, new_figure

# More curves could not be told apart.
MAX_CLASSES = 12
HOW_TO_READ = (
    "Precision is the share of right detections, recall the share of objects that are found, as "
    "the score threshold falls. A dot is the class's best threshold, by optimal LRP, at which "
    "pictures are drawn."
)

Curves = Mapping[str, Mapping[str, Sequence[float]]]
Best = Mapping[str, Mapping[str, float | None]]


def precision_recall_plots(recalls: Sequence[float], curves: Curves, best: Best) -> list[Plot]:
    """The mean over the classes at several IoUs, and the classes at the lowest one.

    Args:
        recalls: of all curves.
        curves: precision by class, those to be drawn first, and IoU threshold.
        best: optimal LRP by class, in percent; may be empty.
    """
    ious = list(next(iter(curves.values())))
    means = [
        line(f"IoU {iou}", i, recalls, np.mean([of[iou] for of in curves.values()], axis=0))
        for i, iou in enumerate(ious)
    ]
    of_classes: list[Any] = []
    for i, (name, of_class) in enumerate(list(curves.items())[:MAX_CLASSES]):
        group = {"legendgroup": name}
        of_classes.append(line(name, i, recalls, of_class[ious[0]], **group))
        point = best.get(name, {})
        if point.get("fp") is not None:
            x, y = [1 - point["fn"] / 100], [1 - point["fp"] / 100]
            text = f"%{{y:.2f}} at a score of {point['threshold']:.2f}"
            dot = {"mode": "markers", "marker_size": 9, "showlegend": False, "hovertemplate": text}
            of_classes.append(line(name, i, x, y, **dot, **group))
    axes = {"xaxis_range": [0, 1], "yaxis_range": [0, 1.02], "hovermode": "closest"}
    axes |= {"x": "recall", "y": "precision", "showlegend": True}
    return [
        Plot("Mean over the classes", new_figure(*means, **axes), height=360),
        Plot(f"Classes at IoU {ious[0]}", new_figure(*of_classes, **axes), height=360),
    ]
