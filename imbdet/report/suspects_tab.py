"""Annotations that may be wrong, from the folder that ``imbdet clean`` wrote."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from imbdet.report.elements import Child, caption, element, note, section, sortable_table
from imbdet.report.gallery import Gallery
from imbdet.report.page import Tab
from imbdet.report.result_files import CannotShow, read_table, reading
from imbdet.suspects.doubt import describe_confused

# Size limit of the crops on a page that shows nothing else.
MAX_CROP_BYTES = 24e6

# Headings of the kinds, which are tabs of a page of their own.
_KINDS = {
    "wrong_class": ("Classes", "Objects that may be of another class"),
    "misplaced": ("Boxes", "Objects whose box may be in another place"),
    "missing": ("Missing", "Places where an annotation may be missing"),
    "duplicate": ("Duplicates", "Objects that may be annotated twice"),
}
_CAPTION = (
    "By what the detector said of them over the whole training, the highest score first. The "
    "annotated box is yellow, what is proposed is blue and dashed; another annotation of the same "
    "place is white."
)
# Limit of the suspects of a kind in a report; a page of their own has all of them.
_MAX_IN_REPORT = 8

Row = Mapping[str, Any]


def suspects_content(folder: Path, gallery: Gallery) -> list[Element]:
    """The first suspects of each kind.

    Raises:
        CannotShow: there is no such folder, or the file in it cannot be read.
    """
    if not folder.is_dir():
        raise CannotShow("There are no suspects yet: `imbdet clean`, with this folder, finds them.")
    found = _read(folder)
    return [_section(kind, folder, found[kind][:_MAX_IN_REPORT], gallery) for kind in _KINDS]


def suspects_tabs(folder: Path, gallery: Gallery) -> list[Tab]:
    """A tab for each kind of suspects: crops, and a table of all."""
    found = _read(folder)
    return [
        Tab(
            name,
            [
                _section(kind, folder, found[kind], gallery),
                section("All of them", _table(found[kind])),
            ],
        )
        for kind, (name, _) in _KINDS.items()
    ]


def _read(folder: Path) -> dict[str, list[Row]]:
    """The suspects of each kind, in the order of their ranks."""
    path = folder / "suspects.parquet"
    found: dict[str, list[Row]] = {kind: [] for kind in _KINDS}
    try:
        table = read_table(path)
    except CannotShow as reason:
        if str(reason).endswith("has no rows."):
            return found
        raise
    with reading(path):
        for values in zip(*table.values(), strict=True):
            row = dict(zip(table, values, strict=True))
            found[str(row["kind"])].append(row)
    return found


def _section(kind: str, folder: Path, rows: list[Row], gallery: Gallery) -> Element:
    """Crops of the suspects of a kind."""
    (_, title), head = _KINDS[kind], caption(_CAPTION)
    if not rows:
        return section(title, head, note("There are none."))
    captions = {folder / "crops" / Path(str(row["crop"])).name: _below(row) for row in rows}
    gone = sum(not row["crop"] for row in rows)
    content = gallery.embed_with({path: below for path, below in captions.items() if path.suffix})
    if gone:
        content.append(note(f"Without pictures, since the images could not be read: {gone:,}."))
    confused = sorted({str(row["class"]) for row in rows if row.get("is_of_confused_class")})
    warnings = [note(describe_confused(confused))] if kind == "wrong_class" and confused else []
    return section(title, head, *warnings, element("div", *content, class_="crops"))


def _below(row: Row) -> list[Child]:
    number = f", annotation {row['id']}" if row["id"] else ""
    name = element("strong", f"{row['score']:.2f}")
    return [name, f" {row['file_name']}{number}: {row['reason']}"]


def _table(rows: list[Row]) -> Element:
    headers = ("score", "image", "annotation", "class", "proposed class", "evidence")
    columns = ("file_name", "id", "class", "proposed_class", "reason")
    return sortable_table(
        headers, [(float(row["score"]), *(str(row[name]) for name in columns)) for row in rows]
    )
