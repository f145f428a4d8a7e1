"""Which class is taken for which: a matrix, and its most frequent errors."""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from imbdet.drawing.style import COLOR_MAP, short
from imbdet.report.drawings import Plot, grid, new_axes
from imbdet.report.elements import caption, details, section, sortable_table

# Names of more classes would be too small to read.
MAX_CLASSES = 40
# Numbers in more cells would be too small, too.
_MAX_NUMBERED = 12
_MAX_ROWS = 30
# In brackets, as no class is likely to be called.
_BACKGROUND, _MISSED = "(no object)", "(no detection)"
_CAPTION = (
    "At the best threshold of each class, by optimal LRP, and IoU 0.5. A row is what became of the "
    f"objects of a class, '{_MISSED}' those that were not found; the row '{_BACKGROUND}' has "
    "detections that no object is left for, second ones of an object among them. The darker, the "
    "larger the share of a row."
)

Entry = Mapping[str, Any]


def confusion_section(name: str, entries: Sequence[Entry], classes: Sequence[str]) -> Element:
    """The matrix of the first classes, and a table of the most frequent errors.

    Args:
        name: of the data set.
        entries: of ``curves.json``.
        classes: all of them, the most frequent first.
    """
    shown = list(classes[:MAX_CLASSES])
    text = _CAPTION
    if len(classes) > len(shown):
        text += f" The first {len(shown)} of {len(classes)} classes; the others are left out."
    content = [caption(text), grid([draw_matrix(entries, shown)])]
    errors = [
        (e["object"] or _BACKGROUND, e["detection"] or _MISSED, e["count"])
        for e in sorted(entries, key=lambda entry: -entry["count"])
        if e["object"] != e["detection"]
    ]
    if errors:
        table = sortable_table(("object", "detection", "number"), errors[:_MAX_ROWS])
        content.append(details("The most frequent errors", table))
    return section(f"Confusion on {name}", *content)


def draw_matrix(entries: Sequence[Entry], classes: Sequence[str]) -> Plot:
    """Objects are rows, detections columns; of few classes the cells have their numbers."""
    place = {name: i for i, name in enumerate(classes)} | {None: len(classes)}
    counts = np.zeros([len(place)] * 2, dtype=np.int64)
    for entry in entries:
        if entry["object"] in place and entry["detection"] in place:
            counts[place[entry["object"]], place[entry["detection"]]] += entry["count"]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = new_axes("detection", "object", height=min(8, 2 + 0.25 * len(place)))
    axes.imshow(np.ma.masked_equal(shares, 0), vmin=0, vmax=1, cmap=COLOR_MAP, aspect="auto")
    names, ticks = list(map(short, classes)), range(len(place))
    axes.set_xticks(ticks, [*names, _MISSED], rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, [*names, _BACKGROUND])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    for i, j in np.argwhere(counts) if len(place) <= _MAX_NUMBERED else ():
        color = "black" if shares[i, j] < 0.5 else "white"
        axes.text(j, i, f"{counts[i, j]:,}", ha="center", va="center", fontsize=8, color=color)
    return Plot("Confusion", figure)
