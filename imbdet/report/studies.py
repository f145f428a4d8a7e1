"""A folder of ``imbdet analyze`` or ``imbdet compare``: each table drawn, with its sentence."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from imbdet.report.draw_scores import (
    draw_boosting,
    draw_calibration,
    draw_gradients,
    draw_ranks,
)
from imbdet.report.draw_selections import (
    draw_hardness,
    draw_imbalance,
    draw_overlap,
    draw_sampling_distribution,
)
from imbdet.report.elements import (
    caption,
    color_scale,
    details,
    element,
    note,
    section,
    sortable_table,
)
from imbdet.report.gallery import Gallery
from imbdet.report.joint import HOW_TO_READ
from imbdet.report.plots import Plot, grid
from imbdet.report.sources import CannotShow, Columns, read_table, reading

# Longer tables stay files: they are there for machines.
MAX_ROWS = 200


@dataclass(frozen=True)
class Study:
    """How a table becomes drawings.

    Attributes:
        title: heading.
        caption: how to read the drawings.
        draw: turns the table's columns into plots.
        has_scale: whether the colours are those of a scale.
    """

    title: str
    caption: str
    draw: Callable[[Columns], Sequence[Plot]]
    has_scale: bool = False


_GRADIENTS = (
    "By the norm g of their gradient: how many there are, the mean gradient that a loss makes of "
    "it, and the share of the whole gradient that comes from each bin. A loss is balanced as far "
    "as its shares are not piled up at one end."
)
STUDIES: Mapping[str, Study] = {
    "sampling_distribution": Study(
        "What random, hard and prime selection choose",
        "Hard positives sit at low IoU and high loss, prime ones at high IoU. " + HOW_TO_READ,
        draw_sampling_distribution,
        has_scale=True,
    ),
    "hardness": Study(
        "Hard negatives and overlap",
        "If hard negatives lie to the right of random ones, hardness comes from partial overlap "
        "with objects; if to the left, from look-alikes or from objects that nobody annotated.",
        draw_hardness,
    ),
    "gradients_cls": Study("Gradients of the classification", _GRADIENTS, draw_gradients),
    "gradients_box": Study("Gradients of the boxes", _GRADIENTS, draw_gradients),
    "ranks": Study(
        "Ranks of the positives",
        "Mass at the left is a good ranking. The best box of each object is what becomes a "
        "detection, so its bars matter most.",
        draw_ranks,
    ),
    "overlap": Study(
        "Overlap of the samplers",
        "Jaccard index of what two samplers chose from the same candidates: 1 is the same, 0 "
        "nothing in common.",
        draw_overlap,
    ),
    "calibration": Study(
        "Calibration",
        "Of the entries with some score, how many are right. Below the diagonal the scores are "
        "too high, above it too low.",
        draw_calibration,
    ),
    "imbalance": Study(
        "Imbalance of the data",
        "Objects and candidates of each class, sizes of the objects, and how many positives an "
        "object owns: differences of the bars are what samplers and losses have to make up for.",
        draw_imbalance,
    ),
    "boosting": Study(
        "Boosting few positives or many",
        "The detector as it is, and after the scores of each image's first 5 or 25 positives were "
        "raised at an equal fall of the loss: a higher curve for the top 5 says that few prime "
        "positives are worth more than many.",
        draw_boosting,
    ),
}


def study_content(folder: Path, gallery: Gallery) -> list[Element]:
    """A section for each line of ``summary.txt`` and for each table beside it."""
    sentences, remarks = read_summary(folder / "summary.txt")
    for path in sorted((folder / "tables").glob("*.parquet")):
        sentences.setdefault(path.stem, "")
    if not sentences:
        raise CannotShow(f"'{folder}' has neither tables nor a summary.")
    sections = [
        _study_section(folder, name, sentence, gallery) for name, sentence in sentences.items()
    ]
    return [*map(note, remarks), *sections]


def read_summary(path: Path) -> tuple[dict[str, str], list[str]]:
    """The sentences of ``summary.txt`` by the name of a figure, and those of none."""
    try:
        with reading(path):
            lines = path.read_text(encoding="utf-8").splitlines()
    except CannotShow as reason:
        return {}, [str(reason)]
    named = [re.match(r"(\w+): (.*)", line) for line in lines]
    others = [line for line, match in zip(lines, named, strict=True) if line and not match]
    return {match[1]: match[2] for match in named if match}, others


def _study_section(folder: Path, name: str, sentence: str, gallery: Gallery) -> Element:
    study = STUDIES.get(name)
    title = study.title if study else name.replace("_", " ").capitalize()
    if sentence.startswith("no figure, "):
        return section(title, note(f"There is no figure: {sentence.removeprefix('no figure, ')}"))
    content = [element("p", sentence)] if sentence else []
    path = folder / "tables" / f"{name}.parquet"
    if not study and not path.exists():
        return section(title, *content, *_printed(folder, name, gallery))
    try:
        with reading(path):
            table = read_table(path)
            plots = study.draw(table) if study else []
    except CannotShow as reason:
        return section(title, *content, note(str(reason)), *_printed(folder, name, gallery))
    if not study:
        return section(title, *content, *_printed(folder, name, gallery), _numbers(table, name))
    scale = [color_scale()] if study.has_scale else []
    return section(
        title, *content, caption(study.caption), *scale, grid(plots), _numbers(table, name)
    )


def _printed(folder: Path, name: str, gallery: Gallery) -> list[Element]:
    path = folder / "figures" / f"{name}.png"
    return gallery.embed([path]) if path.exists() else []


def _numbers(table: Columns, name: str) -> Element:
    columns = [values.tolist() for values in table.values()]
    if len(columns[0]) > MAX_ROWS:
        return caption(f"The numbers are {len(columns[0]):,} rows in tables/{name}.parquet.")
    return details("The numbers", sortable_table(list(table), zip(*columns, strict=True)))
