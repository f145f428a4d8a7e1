#!/usr/bin/env python
"""Draw what all methods gained on all data sets: one figure, from the files of docs/results.

    python benchmarks/glance.py

Rows are methods and columns data sets, of each detector. A cell is the AP of the method minus that
of the detector alone, with the interval of 95 % over seeds. Decided gains are blue, decided losses
red, and what is not decided is grey.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from results_table import Difference, difference, split_of
from runs import ROOT

from imbdet.drawing.style import DARK, MIDDLE, STYLE, new_figure
from imbdet.files import replacing

RESULTS = ROOT / "docs" / "results"
DETECTORS = {"retinanet": "RetinaNet", "faster_rcnn": "Faster R-CNN"}
# Heads of the columns, by the files of all comparisons of methods with several seeds. Where two
# files have the same head and method, the later one counts, which has more seeds.
COLUMNS = {
    "shapes_retinanet": "shapes",
    "bccd_retinanet": "blood cells,\n240 px",
    "bccd_retinanet_480px": "blood cells,\n480 px",
    "bccd_pretrained_retinanet": "blood cells,\npretrained",
    "bccd_faster_rcnn": "blood cells,\n240 px",
    "bccd_faster_rcnn_480px": "blood cells,\n480 px",
    "bccd_pretrained_faster_rcnn": "blood cells,\npretrained",
    "nuclei_retinanet": "nuclei",
    "nuclei_faster_rcnn": "nuclei",
    "debris_retinanet": "debris",
    "debris_faster_rcnn": "debris",
    "debris_repeat_factors": "debris",
    "debris_repeat_factors_one_rate": "debris",
    "aquarium_faster_rcnn": "aquarium",
    "aquarium_repeat_factors": "aquarium",
}
# Ending of a method's piece for another backbone.
BACKBONE = "-Timm"
UNDECIDED, PAPER = "#e0e0e0", "white"
# Heights of a row and of the heads, in inches.
ROW, HEADS = 0.3, 0.7

Table = Mapping[str, Mapping[str, Difference]]


def gather(detector: str) -> Table:
    """Differences to the detector alone by method, and by the head of the column."""
    table: dict[str, dict[str, Difference]] = {}
    for file, head in COLUMNS.items():
        results = json.loads((RESULTS / f"{file}.json").read_text())
        if results["detector"] != detector:
            continue
        baseline, *methods = results["methods"]
        for method in methods:
            # The box loss of the baseline, which all share, is not part of a method.
            name = method.removesuffix(f"+{baseline}").removesuffix(BACKBONE)
            row = table.setdefault(name, {})
            row[head] = difference("AP", method, results["methods"], split_of(results))
    return table


def draw(path: Path) -> None:
    """Draw the tables of the detectors, one below the other."""
    tables = {detector: gather(detector) for detector in DETECTORS}
    heights = [HEADS + ROW * len(table) for table in tables.values()]
    with replacing(path) as draft, mpl.rc_context(STYLE):
        figure = new_figure(height=sum(heights))
        panels = figure.subplots(len(tables), gridspec_kw={"height_ratios": heights})
        for axes, (detector, table) in zip(panels, tables.items(), strict=True):
            axes.set_title(f"AP beyond that of {DETECTORS[detector]} alone", loc="left")
            draw_table(axes, table)
        figure.savefig(draft, format="png")


def draw_table(axes: Axes, table: Table) -> None:
    """Draw a rectangle with the numbers for each cell that there is."""
    shown = {head for row in table.values() for head in row}
    heads = [head for head in dict.fromkeys(COLUMNS.values()) if head in shown]
    for y, row in enumerate(table.values()):
        for head, found in row.items():
            x = heads.index(head)
            axes.add_patch(Rectangle((x, y), 1, 1, facecolor=color_of(found), ec=PAPER, lw=2))
            ink = PAPER if found.is_decided else "black"
            center = {"ha": "center", "va": "center"}
            axes.text(x + 0.5, y + 0.5, found.numbers, **center, color=ink, fontsize="x-small")
    axes.set(xlim=(0, len(heads)), ylim=(len(table), 0))
    axes.set_xticks([x + 0.5 for x in range(len(heads))], heads)
    axes.set_yticks([y + 0.5 for y in range(len(table))], table)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)


def color_of(found: Difference) -> str:
    """Colour of a cell."""
    if not found.is_decided:
        return UNDECIDED
    return DARK if found.mean > 0 else MIDDLE


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--figure", type=Path, default=RESULTS / "at_a_glance.png", metavar="FILE")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the figure."""
    draw(parse_args(argv).figure)


if __name__ == "__main__":
    main()
