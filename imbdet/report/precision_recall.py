"""Precision by recall, with the point at which each class is best used."""

from collections.abc import Mapping, Sequence

import numpy as np

from imbdet.drawing.run_styles import run_lines
from imbdet.report.drawings import Plot, add_names, new_axes

# More curves could not be distinguished.
MAX_CLASSES = 10
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
        recalls: recalls of all curves.
        curves: precisions by class, those to be drawn first, and by IoU threshold.
        best: optimal LRP by class, in percent; may be empty.
    """
    ious = list(next(iter(curves.values())))
    means = {f"IoU {iou}": np.mean([of[iou] for of in curves.values()], axis=0) for iou in ious}
    of_classes = {name: of_class[ious[0]] for name, of_class in list(curves.items())[:MAX_CLASSES]}
    dots = {}
    for name in of_classes:
        point = best.get(name, {})
        if point.get("fp") is not None:
            dots[name] = 1 - point["fn"] / 100, 1 - point["fp"] / 100
    return [
        _draw("Mean over the classes", recalls, means, {}),
        _draw(f"Classes at IoU {ious[0]}", recalls, of_classes, dots),
    ]


def _draw(
    title: str,
    recalls: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    dots: Mapping[str, tuple[float, float]],
) -> Plot:
    figure, axes = new_axes("recall", "precision", height=3.6)
    for name, line in run_lines(curves).items():
        axes.plot(recalls, curves[name], label=name, **line)
        if name in dots:
            axes.plot(*dots[name], marker="o", markersize=6, color=line["color"], clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    add_names(figure, axes)
    return Plot(title, figure)
