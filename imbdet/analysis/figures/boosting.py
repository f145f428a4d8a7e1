"""Precision-recall curves before and after the boosts."""

import numpy as np
from matplotlib.figure import Figure

from imbdet.analysis.boosting import BoostingStudy, variants
from imbdet.analysis.figures.style import LINES, label_panel, new_figure


def draw_boosting(numbers: BoostingStudy) -> Figure:
    """A panel for each IoU threshold, a curve for each variant."""
    thresholds = sorted({threshold for _, threshold in numbers.precisions})
    figure = new_figure(2.9)
    panels = figure.subplots(1, len(thresholds), sharey=True)
    recalls = np.linspace(0, 1, 101)
    for axes, threshold in zip(panels, thresholds, strict=True):
        for variant, style in zip(variants(), LINES, strict=False):
            curve = numbers.precisions[variant, threshold]
            axes.plot(recalls, curve, label=f"{variant}: AP {numbers.ap[variant]:.1f}", **style)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall")
        axes.grid()
        of_threshold = [100 * numbers.precisions[name, threshold].mean() for name in variants()]
        label_panel(axes, f"IoU {threshold:g}: AP {', '.join(f'{ap:.1f}' for ap in of_threshold)}")
    panels[0].set_ylabel("precision")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
