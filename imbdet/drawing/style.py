"""The style of all figures, and how they are saved."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from imbdet.files import replacing

# Width of a page's text in inches, and dots per inch.
WIDTH, DPI = 7.0, 200
# Rare values are light, but distinct from the paper, and frequent ones dark. The lightness falls
# evenly, so that grey print keeps it, and colour-blind readers see the hue.
COLOR_MAP = ListedColormap(mpl.colormaps["Blues"](np.linspace(0.25, 1, 256)), "rare_is_light")
# These differ in lightness as well as in colour, and lines also in their dashes.
DARK, MIDDLE, LIGHT = "#1b2a49", "#c8553d", "#7fb7d6"
LINES = (
    {"color": DARK, "linestyle": "-"},
    {"color": MIDDLE, "linestyle": "--"},
    {"color": LIGHT, "linestyle": "-.", "linewidth": 2.0},
    {"color": "#8a8a8a", "linestyle": ":", "linewidth": 2.0},
    {"color": "#b59b2a", "linestyle": (0, (1, 1, 4, 1))},
)
# Colours for more categories than there are lines.
CATEGORIES = tuple(mpl.colormaps["tab10"].colors)
BARS = (
    {"color": DARK},
    {"color": MIDDLE, "hatch": "////", "edgecolor": "white", "linewidth": 0},
    {"color": LIGHT, "hatch": "....", "edgecolor": "white", "linewidth": 0},
)
# Panels of a fixed shape leave white margins, which are cut off.
_TIGHT: Mapping[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.05}
STYLE: Mapping[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    # The background of the page, light or dark, shows through.
    "axes.facecolor": "none",
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "hatch.linewidth": 0.8,
    # Text is stored as text, which is searchable and accepted by journals.
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    # Equal figures give equal files.
    "svg.hashsalt": "imbdet",
}


def new_figure(height: float, width: float = WIDTH, layout: str = "constrained") -> Figure:
    """An empty figure.

    Args:
        height: height in inches.
        width: width in inches.
        layout: "compressed" if the shape of the panels is fixed, where "constrained" would cut off
            the labels around them.
    """
    return Figure(figsize=(width, height), dpi=DPI, layout=layout)


def plain(name: str) -> str:
    """A name with each $ escaped, as matplotlib would read mathematics between two of them."""
    return name.replace("$", r"\$")


def short(name: str) -> str:
    """A plain name for a narrow place, without the middle of a long one."""
    return plain(name if len(name) <= 24 else f"{name[:11]}…{name[-12:]}")


def say(axes: Axes, sentence: str) -> None:
    """Write in an empty panel why it is empty."""
    axes.text(
        0.5,
        0.5,
        sentence,
        transform=axes.transAxes,
        ha="center",
        va="center",
        fontsize=8,
        wrap=True,
    )


def label_panel(axes: Axes, title: str) -> None:
    """Write a title at the left, where reading begins."""
    axes.set_title(title, loc="left")


def save(figure: Figure, path: Path) -> list[Path]:
    """Save a figure as PNG and PDF.

    Args:
        figure: figure that was drawn under :data:`STYLE`.
        path: path of the files without their suffix.

    Returns:
        The paths of the files.
    """
    paths = [path.with_name(f"{path.name}.{ending}") for ending in ("png", "pdf")]
    with mpl.rc_context(STYLE):
        # The layout takes long to compute: it is done once for all files.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for target in paths:
            with replacing(target) as draft:
                figure.savefig(draft, format=target.suffix[1:], **_TIGHT)
    return paths


def to_svg(figure: Figure, title: str = "", caption: str = "", *, is_trimmed: bool = True) -> bytes:
    """The content of an SVG without a background.

    Args:
        figure: figure that was drawn under :data:`STYLE`.
        title: title in the metadata.
        caption: description in the metadata.
        is_trimmed: whether the margins are cut off, for which the figure is drawn once more.
    """
    metadata = {"Title": title, "Description": caption, "Date": None}
    options = _TIGHT if is_trimmed else {}
    content = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(content, format="svg", facecolor="none", metadata=metadata, **options)
    return content.getvalue()
