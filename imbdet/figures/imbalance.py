"""The imbalance of a data set: classes, sizes, and the number of positives of an object."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from imbdet.drawing.style import DARK, LIGHT, MIDDLE, label_panel, new_figure, short
from imbdet.figures.columns import Chunks
from imbdet.figures.study import NothingToShow, Study
from imbdet.wording import counted

# More names of classes would be too small to read.
_MAX_NAMES = 30

# Sides of squares in pixels, by factors of the square root of 2; 32 and 96 separate COCO's sizes.
SIZE_EDGES = np.concatenate([[0.0], 2 ** (np.arange(4, 22) / 2), [np.inf]])
COCO_EDGES = {32: "small below 32", 96: "large from 96"}
# Edges of the numbers of positives: 0, 1, 2, 3, 4, then powers of two.
POSITIVES_EDGES = np.array([0, 1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 1 << 40])


@dataclass(frozen=True)
class Imbalance(Study):
    """The objects of a data set, and the positives around them.

    Attributes:
        classes: (K,) names, the one with the most objects first.
        objects: (K,) int64 numbers of objects.
        positives: (K,) int64 numbers of candidates of each class, appended ground truth included.
        num_negatives: number of candidates of the background.
        chosen: (K + 1,) int64 numbers of candidates of each class, and last of the background,
            that the detector's sampler chose.
        sizes: (19,) int64 numbers of objects by the square root of their area, see SIZE_EDGES.
        owned: (11,) int64 numbers of objects by their number of positives, see POSITIVES_EDGES.
    """

    name = "imbalance"
    title = "Imbalance of the data"
    caption = (
        "Objects and candidates of each class, the candidates that the sampler chose, sizes of the "
        "objects, and how many positives an object owns: their differences are what samplers and "
        "losses have to make up for."
    )

    classes: Sequence[str]
    objects: np.ndarray
    positives: np.ndarray
    num_negatives: int
    chosen: np.ndarray
    sizes: np.ndarray
    owned: np.ndarray

    def table(self) -> pa.Table:
        """See :class:`Study`; a row for each bin of each of the distributions."""
        sizes = [*(f"{round(edge, 1):g}" for edge in SIZE_EDGES[1:-1]), "more"]
        owned = [*(str(edge - 1) for edge in POSITIVES_EDGES[1:-1]), "more"]
        rows = [
            *_rows("class: objects", self.classes, self.objects),
            *_rows("class: positives", self.classes, self.positives),
            *_rows("class: chosen positives", self.classes, self.chosen[:-1]),
            *_rows("size below (pixels)", sizes, self.sizes),
            *_rows("positives of an object, up to", owned, self.owned),
            *_rows("candidates", ["background"], np.array([self.num_negatives])),
            *_rows("chosen candidates", ["background"], self.chosen[-1:]),
        ]
        return pa.Table.from_pylist(rows)

    def sentence(self) -> str:
        """See :class:`Study`."""
        most, least = int(self.objects[0]), int(self.objects[-1])
        ratios = [
            negatives / max(int(positives.sum()), 1)
            for positives, negatives in (
                (self.positives, self.num_negatives),
                (self.chosen[:-1], self.chosen[-1]),
            )
        ]
        share = (
            f"the most are {self._with_objects(most)}, the fewest {self._with_objects(least)}"
            if most > least
            else f"each class has {most:,}"
        )
        unmatched = counted(int(self.owned[0]), "object got", "objects got")
        return (
            f"Of {self.objects.sum():,} objects {share}; {unmatched} no positive; there are "
            f"{ratios[0]:.1f} negatives for each positive, and {ratios[1]:.1f} among those that "
            "the sampler chose."
        )

    def _with_objects(self, number: int) -> str:
        """The classes that have a number of objects, or the number of these classes, in words."""
        names = [repr(self.classes[k]) for k in np.flatnonzero(self.objects == number)]
        if len(names) == 1:
            return f"{names[0]} ({number:,})"
        said = " and ".join(names) if len(names) == 2 else f"{len(names):,} classes"
        return f"{said} ({number:,} each)"

    def draw(self) -> Figure:
        """Classes above, sizes and positives below."""
        figure = new_figure(5.0)
        panels = figure.subplot_mosaic([["classes", "classes"], ["sizes", "owned"]])
        _draw_classes(panels["classes"], self)
        _draw_sizes(panels["sizes"], self.sizes)
        _draw_owned(panels["owned"], self.owned)
        for axes in panels.values():
            axes.grid(axis="y")
        return figure


def _rows(distribution: str, bins: Sequence[str], counts: np.ndarray) -> list[dict]:
    return [
        {"distribution": distribution, "bin": name, "count": int(count)}
        for name, count in zip(bins, counts, strict=True)
    ]


def imbalance(
    objects: Chunks, num_negatives: int, chosen: np.ndarray, classes: Sequence[str]
) -> Imbalance:
    """Count objects and their positives.

    Args:
        objects: chunks with "class", "area" in pixels of the original image, and "num_positives".
        num_negatives: number of candidates of the background.
        chosen: (K + 1,) int64 numbers of chosen candidates of each class, and last of the
            background.
        classes: K names.

    Raises:
        NothingToShow: there are no objects.
    """
    per_class, positives = np.zeros((2, len(classes)), dtype=np.int64)
    sizes = np.zeros(len(SIZE_EDGES) - 1, dtype=np.int64)
    owned = np.zeros(len(POSITIVES_EDGES) - 1, dtype=np.int64)
    for chunk in objects:
        owners = np.bincount(chunk["class"], chunk["num_positives"], minlength=len(classes))
        per_class += np.bincount(chunk["class"], minlength=len(classes))
        positives += owners.astype(np.int64)
        sizes += np.histogram(np.sqrt(chunk["area"]), SIZE_EDGES)[0]
        owned += np.histogram(chunk["num_positives"], POSITIVES_EDGES)[0]
    if not per_class.any():
        raise NothingToShow("there are no objects.")
    order = np.argsort(-per_class, kind="stable")
    names = [classes[k] for k in order]
    return Imbalance(
        names,
        per_class[order],
        positives[order],
        num_negatives,
        chosen[[*order, -1]],
        sizes,
        owned,
    )


def _draw_classes(axes: Axes, numbers: Imbalance) -> None:
    names = [*map(short, numbers.classes), "background"]
    step = -(-len(names) // _MAX_NAMES)
    places = np.append(np.arange(len(names) - 1), len(names) - 2 + step)
    objects, candidates = numbers.objects, [*numbers.positives, numbers.num_negatives]
    # Dots, since bars have no honest length where the axis has no zero.
    size = 6 if step == 1 else 2
    axes.plot(places[:-1], objects, "o", markersize=size, color=DARK, label="objects")
    axes.plot(places, candidates, "s", markersize=size, color=MIDDLE, label="candidates")
    axes.plot(places, numbers.chosen, "^", markersize=size, color=LIGHT, label="chosen")
    named = [*range(0, len(names) - 1, step), len(names) - 1]
    shown = [names[k] for k in named]
    is_tight = len(shown) * max(map(len, shown)) > 90
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if is_tight else {}
    axes.set_xticks(places[named], shown, **turned)
    if step > 1:
        axes.set_xlabel(f"{len(numbers.classes):,} classes, the most frequent first, some by name")
    highest = max(*objects, *candidates, 1)
    axes.set(yscale="log", ylim=(0.5, 6 * highest), ylabel="number")  # room for the legend
    axes.legend(loc="upper center", ncols=3)
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
