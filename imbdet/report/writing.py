"""Writes the page of a folder."""

from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import matplotlib as mpl

from imbdet.drawing.style import STYLE
from imbdet.errors import UserError
from imbdet.files import replacing
from imbdet.report.elements import caption, note
from imbdet.report.evaluation_tab import evaluation_content
from imbdet.report.figures_tab import figures_content
from imbdet.report.gallery import Gallery
from imbdet.report.overview_tab import (
    comparison_content,
    configuration_content,
    overview_content,
)
from imbdet.report.page import Tab, render
from imbdet.report.records_tab import records_content
from imbdet.report.result_files import CannotShow, reading
from imbdet.report.search_tab import SEARCH_FILE, search_content
from imbdet.report.suspects_tab import MAX_CROP_BYTES, suspects_content, suspects_tabs
from imbdet.report.training_tab import training_content

_SELECTIONS = "Boxes that each selection chose, coloured by IoU; the ground truth is white."


def write_report(folder: Path) -> Path:
    """Write ``report.html`` into a folder, from the files in it.

    Args:
        folder: OUTPUT_DIR of a training, or the folder that ``imbdet analyze``, ``imbdet compare``
            or ``imbdet search`` wrote.

    Returns:
        The path of the page.

    Raises:
        UserError: the folder is none of these, or cannot be written to.
    """
    with mpl.rc_context(STYLE):
        page = render(str(folder), *_contents(folder))
    return _write(folder / "report.html", page)


def write_suspects_page(folder: Path) -> Path:
    """Write ``suspects.html`` into the folder that ``imbdet clean`` wrote.

    Returns:
        The path of the page, which has a tab for each kind of suspects.

    Raises:
        UserError: the folder cannot be written to.
    """
    tabs = suspects_tabs(folder, Gallery(MAX_CROP_BYTES))
    return _write(folder / "suspects.html", render(str(folder), "Suspects", tabs))


def _write(path: Path, page: str) -> Path:
    with replacing(path) as draft:
        # File names may have bytes that are no text.
        draft.write_bytes(page.encode("utf-8", "replace"))
    return path


def _contents(folder: Path) -> tuple[str, Sequence[Tab]]:
    """A subtitle that names the kind of the folder, and the tabs of its page."""
    if not folder.is_dir():
        raise UserError(f"'{folder}' is not a folder: name the OUTPUT_DIR of a training.")
    if (folder / SEARCH_FILE).exists():
        overview = _tab("Overview", folder, lambda: search_content(folder))
        return "Report of a search", [overview, *_study_tabs(folder, Gallery())]
    if any((folder / name).exists() for name in ("config.yaml", "metrics.json", "inference")):
        return "Report of a run", _run_tabs(folder)
    if (folder / "tables").is_dir() or (folder / "summary.txt").exists():
        tabs = _study_tabs(folder, Gallery())
        if (folder / "tables" / "coco.parquet").exists():
            tabs.insert(0, _tab("Overview", folder, lambda: comparison_content(folder)))
        return "Tables, figures and pictures", tabs
    raise UserError(
        f"'{folder}' is neither the OUTPUT_DIR of a training (with config.yaml) nor a folder that "
        "`imbdet analyze`, `imbdet compare` (with tables) or `imbdet search` wrote (with "
        f"{SEARCH_FILE})."
    )


def _run_tabs(folder: Path) -> list[Tab]:
    gallery = Gallery()
    tabs = [
        _tab("Overview", folder, lambda: overview_content(folder)),
        _tab("Training", folder, lambda: training_content(folder / "metrics.json")),
        _tab("Evaluation", folder, lambda: evaluation_content(folder, gallery)),
    ]
    if (folder / "records").is_dir():
        tabs.append(_tab("Records", folder, lambda: records_content(folder / "records")))
    if (folder / "ledger").is_dir():
        tabs.append(_tab("Suspects", folder, lambda: suspects_content(folder / "clean", gallery)))
    if (folder / "analysis").is_dir():
        tabs += _study_tabs(folder / "analysis", gallery)
    tabs.append(_tab("Configuration", folder, lambda: configuration_content(folder)))
    return tabs


def _study_tabs(folder: Path, gallery: Gallery) -> list[Tab]:
    tabs = [_tab("Figures", folder, lambda: figures_content(folder, gallery))]
    pictures = gallery.embed((folder / "pictures").glob("*.png"))
    if pictures:
        # The summary of a comparison explains its pictures.
        is_analysis = not (folder / "tables" / "pictures.parquet").exists()
        how_to_read = [caption(_SELECTIONS)] if is_analysis else []
        tabs.append(Tab("Pictures", [*how_to_read, *pictures]))
    return tabs


def _tab(name: str, folder: Path, build: Callable[[], Sequence[Element]]) -> Tab:
    try:
        with reading(folder):
            return Tab(name, build())
    except CannotShow as reason:
        return Tab(name, [note(str(reason))])
