"""Matrices of the samplers' Jaccard indices."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imbdet.analysis.figures.style import COLOR_MAP, label_panel, new_figure
from imbdet.analysis.overlap import Overlap, Overlaps


def draw_overlaps(numbers: Overlaps) -> Figure:
    """Positives on the left, negatives on the right."""
    figure = new_figure(3.6, layout="compressed")
    panels = figure.subplots(1, len(numbers.of_sign))
    for axes, (sign, overlap) in zip(panels, numbers.of_sign.items(), strict=True):
        mesh = _draw_matrix(axes, overlap)
        label_panel(axes, sign)
    figure.colorbar(mesh, ax=panels, label="Jaccard index", shrink=0.7)
    return figure


def _draw_matrix(axes: Axes, overlap: Overlap) -> object:
    jaccard, names = overlap.jaccard, overlap.samplers
    mesh = axes.imshow(np.ma.masked_invalid(jaccard), vmin=0, vmax=1, cmap=COLOR_MAP)
    ticks = range(len(names))
    axes.set_xticks(ticks, names, rotation=45, ha="right")
    axes.set_yticks(ticks, names)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    for (i, j), value in np.ndenumerate(jaccard):
        text = "none" if np.isnan(value) else f"{value:.2f}"
        is_light = np.isnan(value) or sum(mesh.cmap(value)[:3]) > 1.5
        axes.text(
            j, i, text, ha="center", va="center", fontsize=8, color="black" if is_light else "white"
        )
    return mesh
