"""A folder of ``imbdet analyze`` or ``imbdet compare``: each figure, with its sentence."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element

from imbdet.report.drawings import svg_address, zoomable
from imbdet.report.elements import caption, details, element, note, section, sortable_table
from imbdet.report.gallery import Gallery
from imbdet.report.result_files import CannotShow, Columns, read_table, reading
from imbdet.untrusted.reading import read_text

# Longer tables are not shown, as they are for programs.
MAX_ROWS = 200
# Size limit of a drawing; larger ones are too crowded to read.
_MAX_BYTES = 5e6
_DUBLIN_CORE = "{http://purl.org/dc/elements/1.1/}"


def figures_content(folder: Path, gallery: Gallery) -> list[Element]:
    """A section for each line of ``summary.txt`` and for each table beside it."""
    sentences, remarks = read_summary(folder / "summary.txt")
    for path in sorted((folder / "tables").glob("*.parquet")):
        sentences.setdefault(path.stem, "")
    if not sentences:
        raise CannotShow(f"'{folder}' has neither tables nor a summary.")
    sections = [
        _figure_section(folder, name, sentence, gallery) for name, sentence in sentences.items()
    ]
    return [*map(note, remarks), *sections]


def read_summary(path: Path) -> tuple[dict[str, str], list[str]]:
    """The sentences of ``summary.txt`` by the name of their figure, and those without a figure."""
    try:
        with reading(path):
            lines = read_text(path).splitlines()
    except CannotShow as reason:
        return {}, [str(reason)]
    named = [re.match(r"(\w+): (.*)", line) for line in lines]
    others = [line for line, match in zip(lines, named, strict=True) if line and not match]
    return {match[1]: match[2] for match in named if match}, others


def _figure_section(folder: Path, name: str, sentence: str, gallery: Gallery) -> Element:
    title = name.replace("_", " ").capitalize()
    path = folder / "figures" / f"{name}.svg"
    try:
        if path.exists():
            title, drawing = _drawing(path, title)
        else:  # a folder of an earlier version
            drawing = gallery.embed(filter(Path.exists, [path.with_suffix(".png")]))
    except CannotShow as reason:
        drawing = [note(str(reason))]
    if sentence.startswith("no figure, "):
        return section(title, note(f"There is no figure: {sentence.removeprefix('no figure, ')}"))
    content = [element("p", sentence)] if sentence else []
    return section(title, *content, *drawing, *_numbers(folder, name))


def _drawing(path: Path, title: str) -> tuple[str, list[Element]]:
    """The title of an SVG, or ``title`` if it has none, and its caption and picture."""
    with reading(path):
        text = read_text(path, max_bytes=_MAX_BYTES)
        try:
            content = ET.fromstring(text)
        except ET.ParseError as error:
            raise ValueError("it is no XML") from error
        title = content.findtext(f".//{_DUBLIN_CORE}title") or title
        how_to_read = content.findtext(f".//{_DUBLIN_CORE}description") or ""
    picture = zoomable(svg_address(text.encode()), title, class_="drawing")
    return title, [caption(how_to_read), element("div", picture, class_="figure")]


def _numbers(folder: Path, name: str) -> list[Element]:
    path = folder / "tables" / f"{name}.parquet"
    if not path.exists() and not (folder / "figures" / f"{name}.svg").exists():
        return []
    try:
        return [_as_element(read_table(path), name)]
    except CannotShow as reason:
        return [note(str(reason))]


def _as_element(table: Columns, name: str) -> Element:
    columns = [values.tolist() for values in table.values()]
    if len(columns[0]) > MAX_ROWS:
        return caption(f"The numbers are {len(columns[0]):,} rows in tables/{name}.parquet.")
    return details("The numbers", sortable_table(list(table), zip(*columns, strict=True)))
