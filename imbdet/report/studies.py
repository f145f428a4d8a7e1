"""A folder of ``imbdet analyze`` or ``imbdet compare``: each table drawn, with its sentence."""

import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree.ElementTree import Element

from imbdet.reading import read_text
from imbdet.report.analysis_studies import ANALYSIS
from imbdet.report.comparison_studies import COMPARISON
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
from imbdet.report.plots import grid
from imbdet.report.sources import CannotShow, Columns, read_table, reading
from imbdet.report.study import Study

# Longer tables stay files: they are there for machines.
MAX_ROWS = 200

STUDIES: Mapping[str, Study] = {**ANALYSIS, **COMPARISON}


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
            lines = read_text(path).splitlines()
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
