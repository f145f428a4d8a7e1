"""A matrix of colours with the number in each cell."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from imbdet.drawing.style import COLOR_MAP


def draw_matrix(
    axes: Axes,
    values: np.ndarray,
    columns: Sequence[str],
    *,
    top: float = 1.0,
    digits: int = 2,
    is_small: bool = False,
    aspect: str = "equal",
) -> AxesImage:
    """Draw the cells, with the names of the columns below; the caller writes those of the rows.

    Args:
        axes: axes to draw in.
        values: (A, B) >= 0; NaN is written as "none".
        columns: (B,) names.
        top: value of the darkest colour, > 0.
        digits: number of digits after the point.
        is_small: whether there is little room, so that a 0 before the point is left out.
        aspect: aspect of matplotlib: "equal" for square cells, or "auto".
    """
    mesh = axes.imshow(
        np.ma.masked_invalid(values), vmin=0, vmax=top, cmap=COLOR_MAP, aspect=aspect
    )
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    for (i, j), value in np.ndenumerate(values):
        text = "none" if np.isnan(value) else f"{value:.{digits}f}"
        text = text.removeprefix("0") if is_small else text
        is_light = np.isnan(value) or sum(mesh.cmap(mesh.norm(value))[:3]) > 1.5
        axes.text(
            j,
            i,
            text,
            ha="center",
            va="center",
            fontsize=7 if is_small else 8,
            color="black" if is_light else "white",
        )
    return mesh
