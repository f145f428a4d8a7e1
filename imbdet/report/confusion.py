"""Which class is taken for which: a matrix, and its most frequent errors."""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import plotly.graph_objects as go

from imbdet.report.elements import caption, details, section, sortable_table
from imbdet.report.plots import Plot, grid, new_figure, plain

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
    "detections that no object is left for, second ones of an object among them. Colours are "
    "shares of a row."
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
    content = [caption(text), grid([_matrix(entries, shown)])]
    errors = [
        (e["object"] or _BACKGROUND, e["detection"] or _MISSED, e["count"])
        for e in sorted(entries, key=lambda entry: -entry["count"])
        if e["object"] != e["detection"]
    ]
    if errors:
        table = sortable_table(("object", "detection", "number"), errors[:_MAX_ROWS])
        content.append(details("The most frequent errors", table))
    return section(f"Confusion on {name}", *content)


def _matrix(entries: Sequence[Entry], classes: Sequence[str]) -> Plot:
    place = {name: i for i, name in enumerate(classes)} | {None: len(classes)}
    counts = np.zeros([len(place)] * 2, dtype=np.int64)
    for entry in entries:
        if entry["object"] in place and entry["detection"] in place:
            counts[place[entry["object"]], place[entry["detection"]]] += entry["count"]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    labels = [plain(name) for name in classes]
    numbers = [[f"{count:,}" if count else "" for count in row] for row in counts.tolist()]
    cells = go.Heatmap(
        x=[*labels, _MISSED],
        y=[*labels, _BACKGROUND],
        z=np.where(counts > 0, shares, np.nan),
        text=numbers,
        texttemplate="%{text}" if len(place) <= _MAX_NUMBERED else "",
        coloraxis="coloraxis",
        hoverongaps=False,
        hovertemplate="%{y}, detected as %{x}<br>%{text}, %{z:.0%}<extra></extra>",
    )
    figure = new_figure(
        cells,
        x="detection",
        y="object",
        hovermode="closest",
        coloraxis={"showscale": False, "cmin": 0, "cmax": 1},
        xaxis_type="category",
        yaxis={"type": "category", "autorange": "reversed"},
    )
    return Plot("Confusion", figure, height=min(900, 150 + 34 * len(place)))
