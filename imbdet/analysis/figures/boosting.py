"""Precision-recall curves before and after the boosts."""

import numpy as np
from matplotlib.figure import Figure

from imbdet.analysis.boosting import BoostingStudy, ap_of, variants
from imbdet.analysis.figures.style import LINES, label_panel, new_figure


def draw_boosting(numbers: BoostingStudy) -> Figure:
    """A panel for each IoU threshold, a curve for each variant with its AP at that threshold."""
    thresholds = sorted({threshold for _, threshold in numbers.precisions})
    figure = new_figure(3.7)
    panels = figure.subplots(1, len(thresholds), sharey=True)
    recalls = np.linspace(0, 1, 101)
    for axes, threshold in zip(panels, thresholds, strict=True):
        for variant, style in zip(variants(), LINES, strict=False):
            curve = numbers.precisions[variant, threshold]
            axes.plot(recalls, curve, label=f"{variant}: AP {ap_of(curve):.1f}", **style)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall")
        axes.grid()
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))  # below, off the curves
        label_panel(axes, f"IoU {threshold:g}")
    panels[0].set_ylabel("precision")
    of_all = [f"{variant}: AP {numbers.ap[variant]:.1f}" for variant in variants()]
    figure.legend(
        panels[0].get_lines(),
        of_all,
        title="over IoU 0.5 to 0.95",
        loc="outside lower center",
        ncols=len(of_all),
    )
    return figure
