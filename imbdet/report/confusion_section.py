"""Confusion of classes: a matrix, what each class is detected as, and the most frequent errors."""

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from imbdet.drawing.style import COLOR_MAP, short
from imbdet.report.drawings import WIDTH, Plot, grid, new_axes
from imbdet.report.elements import caption, details, section, sortable_table

# Names of more classes would be too small to read.
MAX_CLASSES = 40
# Number of groups of classes of similar frequency, where there are more classes.
NUM_GROUPS = 10
# Numbers in the cells of more rows would be too small to read.
_MAX_NUMBERED = 12
_MAX_ROWS = 30
# Names in brackets, which no class is likely to have.
_BACKGROUND, _MISSED, _OTHERS = "(no object)", "(no detection)", "(other classes)"
_CAPTION = (
    "At the best threshold of each class, by optimal LRP, and IoU 0.5. A row is what became of the "
    f"objects of a class, '{_MISSED}' those that were not found; the row '{_BACKGROUND}' has "
    "detections that no object is left for, second ones of an object among them. The darker, the "
    "larger the share of a row."
)

Entry = Mapping[str, Any]


def confusion_section(name: str, entries: Sequence[Entry], classes: Sequence[str]) -> Element:
    """Matrices of classes, and tables of what each is detected as and of the most frequent errors.

    Args:
        name: name of the data set.
        entries: entries of "confusion" in ``curves.json``.
        classes: names of all classes, the most frequent first.
    """
    shown = list(classes[:MAX_CLASSES])
    text, plots = _CAPTION, [draw_matrix(entries, shown)]
    if len(classes) > len(shown):
        text += (
            f" One matrix has the first {len(shown)} of {len(classes)} classes, the other all, in "
            "groups from the most frequent classes to the rarest: 'right' is the object's own "
            "class, the columns of groups are other classes than that, and the numbers are percent."
        )
        plots.append(draw_groups(entries, classes))
    fates = sortable_table(
        ("class", "objects", "right [%]", "another class [%]", "not found [%]", "most often"),
        fates_of_classes(entries, classes),
    )
    content = [caption(text), grid(plots), details("What becomes of each class", fates)]
    errors = [
        (e["object"] or _BACKGROUND, e["detection"] or _MISSED, e["count"])
        for e in sorted(entries, key=lambda entry: -entry["count"])
        if e["object"] != e["detection"]
    ]
    if errors:
        table = sortable_table(("object", "detection", "number"), errors[:_MAX_ROWS])
        content.append(details("The most frequent errors", table))
    return section(f"Confusion on {name}", *content)


def fates_of_classes(entries: Sequence[Entry], classes: Sequence[str]) -> list[tuple]:
    """Rows of the classes with objects: name, number of objects, three shares in percent, a class.

    The shares are of the objects that were detected as their class, as another class, and not at
    all; the class is the other one that most of them are taken for, in words, or "".
    """
    counts: dict[str, dict[str | None, int]] = defaultdict(dict)
    for entry in entries:
        counts[entry["object"]][entry["detection"]] = entry["count"]
    rows = []
    for name in classes:
        found = counts[name]
        objects = sum(found.values())
        if not objects:
            continue
        right, missed = found.get(name, 0), found.get(None, 0)
        others = {k: n for k, n in found.items() if k not in (name, None)}
        shares = (100 * n / objects for n in (right, objects - right - missed, missed))
        most = max(others, key=lambda other: others[other], default=None)
        rows.append((name, objects, *shares, f"{most} ({others[most]:,})" if most else ""))
    return rows


def draw_matrix(entries: Sequence[Entry], classes: Sequence[str]) -> Plot:
    """Draw objects as rows and detections as columns; with few classes, cells have their numbers.

    Args:
        entries: entries of "confusion" in ``curves.json``.
        classes: classes with rows and columns; detections of others are in the last column.
    """
    place = {name: i for i, name in enumerate(classes)} | {None: len(classes)}
    counts = np.zeros((len(place), len(place) + 1), dtype=np.int64)
    for entry in entries:
        if entry["object"] in place:
            column = place.get(entry["detection"], len(place))
            counts[place[entry["object"]], column] += entry["count"]
    names = list(map(short, classes))
    columns = [*names, _MISSED, _OTHERS]
    if not counts[:, -1].any():
        counts, columns = counts[:, :-1], columns[:-1]
    plot = _draw("Confusion", counts, [*names, _BACKGROUND], columns)
    if len(place) <= _MAX_NUMBERED:
        _write(plot, counts, [f"{n:,}" for n in counts[counts > 0]])
    return plot


def draw_groups(entries: Sequence[Entry], classes: Sequence[str]) -> Plot:
    """Draw groups of equally many classes; right detections have a column of their own.

    Args:
        entries: entries of "confusion" in ``curves.json``.
        classes: names of all classes, the most frequent first; at least as many as groups.
    """
    group = {name: i * NUM_GROUPS // len(classes) for i, name in enumerate(classes)}
    group_of: dict[str | None, int] = {**group, None: NUM_GROUPS}
    counts = np.zeros((NUM_GROUPS + 1, NUM_GROUPS + 2), dtype=np.int64)
    for entry in entries:
        is_right = entry["object"] == entry["detection"]
        column = 0 if is_right else 1 + group_of[entry["detection"]]
        counts[group_of[entry["object"]], column] += entry["count"]
    starts = [-(-i * len(classes) // NUM_GROUPS) for i in range(NUM_GROUPS + 1)]
    names = [f"{a + 1}-{b}" for a, b in itertools.pairwise(starts)]
    objects = counts.sum(axis=1)
    rows = [f"{name} ({n:,} objects)" for name, n in zip(names, objects, strict=False)]
    columns = ["right", *names, _MISSED]
    plot = _draw("Confusion of groups", counts, [*rows, _BACKGROUND], columns)
    _write(plot, counts, [f"{100 * share:.0f}" for share in _shares(counts)[counts > 0]])
    return plot


def _draw(title: str, counts: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> Plot:
    shares = _shares(counts)
    # Columns have room for numbers or, without these, for upright names.
    column, angle = (0.4, 45) if len(rows) <= _MAX_NUMBERED else (0.16, 90)
    height, width = min(8, 2 + 0.25 * len(rows)), max(WIDTH, 1.5 + column * len(columns))
    figure, axes = new_axes("detection", "object", height, width)
    axes.imshow(np.ma.masked_equal(shares, 0), vmin=0, vmax=1, cmap=COLOR_MAP, aspect="auto")
    turned = {"rotation": angle, "ha": "right", "va": "center", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(columns)), columns, **turned)
    axes.set_yticks(range(len(rows)), rows)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return Plot(title, figure)


def _shares(counts: np.ndarray) -> np.ndarray:
    """Shares of each row, in [0, 1]."""
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def _write(plot: Plot, counts: np.ndarray, texts: Sequence[str]) -> None:
    """Write the texts into the cells that are not empty, row by row."""
    (axes,) = plot.figure.axes
    for (i, j), text, share in zip(
        np.argwhere(counts), texts, _shares(counts)[counts > 0], strict=True
    ):
        color = "black" if share < 0.5 else "white"
        axes.text(j, i, text, ha="center", va="center", fontsize=8, color=color)
