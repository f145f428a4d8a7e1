"""Classes, sizes, and positives of each object."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from imbdet.analysis.figures.style import DARK, MIDDLE, label_panel, new_figure, short
from imbdet.analysis.imbalance import COCO_EDGES, POSITIVES_EDGES, SIZE_EDGES, Imbalance

# Names of more classes would be too small.
_MAX_NAMES = 30


def draw_imbalance(numbers: Imbalance) -> Figure:
    """Classes above, sizes and positives below."""
    figure = new_figure(5.0)
    panels = figure.subplot_mosaic([["classes", "classes"], ["sizes", "owned"]])
    _draw_classes(panels["classes"], numbers)
    _draw_sizes(panels["sizes"], numbers.sizes)
    _draw_owned(panels["owned"], numbers.owned)
    for axes in panels.values():
        axes.grid(axis="y")
    return figure


def _draw_classes(axes: Axes, numbers: Imbalance) -> None:
    names = [*map(short, numbers.classes), "background"]
    places = np.arange(len(names))
    objects, candidates = numbers.objects, [*numbers.positives, numbers.num_negatives]
    # Dots, since bars have no honest length where the axis has no zero.
    size = 6 if len(names) <= _MAX_NAMES else 2
    axes.plot(places[:-1], objects, "o", markersize=size, color=DARK, label="objects")
    axes.plot(places, candidates, "s", markersize=size, color=MIDDLE, label="candidates")
    if len(names) <= _MAX_NAMES:
        is_tight = len(names) * max(map(len, names)) > 90
        turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if is_tight else {}
        axes.set_xticks(places, names, **turned)
    else:
        axes.set_xticks([])
        axes.set_xlabel(f"{len(numbers.classes):,} classes, the most frequent first; background")
    highest = max(*objects, *candidates, 1)
    axes.set(yscale="log", ylim=(0.5, 6 * highest), ylabel="number")  # room for the legend
    axes.legend(loc="upper center", ncols=2)
    label_panel(axes, "(a) classes")


def _draw_sizes(axes: Axes, sizes: np.ndarray) -> None:
    used = np.flatnonzero(sizes)
    ends = [SIZE_EDGES[1] / 2**0.5, *SIZE_EDGES[1:-1], SIZE_EDGES[-2] * 2**0.5]
    axes.stairs(sizes, ends, fill=True, color=DARK)
    axes.set(xlim=(ends[max(used[0] - 1, 0)], ends[min(used[-1] + 2, len(sizes))]))
    axes.set_xscale("log", base=2)
    axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    low, high = axes.get_xlim()
    sizes_of_coco = {edge: name for edge, name in COCO_EDGES.items() if low < edge < high}
    for edge in sizes_of_coco:
        axes.axvline(edge, color=MIDDLE, linewidth=1.2, linestyle=":")
    xlabel = "square root of the area in pixels"
    if sizes_of_coco:
        xlabel += f"\n(dotted, as in COCO: {', '.join(sizes_of_coco.values())})"
    axes.set(xlabel=xlabel, ylabel="objects")
    label_panel(axes, "(b) sizes")


def _draw_owned(axes: Axes, owned: np.ndarray) -> None:
    lows, highs = POSITIVES_EDGES[:-1], POSITIVES_EDGES[1:] - 1
    used = np.flatnonzero(owned)[-1] + 1
    places = np.arange(used)
    labels = [f"{a}" if a == b else f"{a}-{b}" for a, b in zip(lows, highs, strict=True)]
    labels[-1] = f"≥ {lows[-1]}"
    axes.bar(places, owned[:used], color=DARK)
    axes.set_xticks(places, labels[:used], rotation=45 if used > 7 else 0)
    axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.set(xlabel="positives that belong to the object", ylabel="objects")
    label_panel(axes, "(c) positives of an object")
