"""Pictures of the right and wrong detections of the runs, beside the ground truth."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from detectron2.data.detection_utils import read_image
from PIL import Image

from imbdet.analysis.selection_pictures import find_rows
from imbdet.data.images import find_image_problem
from imbdet.evaluation.detection_pictures import (
    describe_classes,
    mark_objects,
    name_pictures,
    save_picture,
)
from imbdet.evaluation.kept_detections import Kept, keep
from imbdet.evaluation.marked_images import Mark, draw_panel, join_panels
from imbdet.evaluation.matches import Matches
from imbdet.figures.part_files import write_table
from imbdet.figures.study import NothingToShow
from imbdet.untrusted.parquet import read_parquet

NUM_PICTURES = 4
# More labels would hide the image.
_MAX_LABELS = 20


def find_images(ground_truth: Mapping, names: Sequence[str]) -> list[int]:
    """Indices in :attr:`Matches.images` of the images with some file names or ids.

    Raises:
        UserError: no image has one of the names.
    """
    images = sorted(ground_truth["images"], key=lambda image: image["id"])
    ids = [str(image["id"]) for image in images]
    return find_rows(ids, [image["file_name"] for image in images], names)


# Size limit of the table of an earlier comparison's pictures.
_MAX_BYTES = 1 << 26


def write_pictures(
    runs: Mapping[str, Matches],
    thresholds: Mapping[str, Mapping[str, float]],
    image_root: str,
    rows: Sequence[int],
    output: Path,
) -> str:
    """Write ``output/pictures``, and ``output/tables/pictures.parquet`` with what is in them.

    Args:
        runs: matches by run, the baseline first.
        thresholds: score thresholds by run and class, see :func:`keep`.
        image_root: folder of the images.
        rows: indices of the images in :attr:`Matches.images`; if empty, those of
            :func:`most_different`.
        output: folder of the comparison.

    Returns:
        A sentence about the pictures.

    Raises:
        NothingToShow: the runs make as many errors everywhere, or an image cannot be used.
    """
    first = next(iter(runs.values()))
    kept = {run: keep(matches, thresholds[run]) for run, matches in runs.items()}
    counts = {run: kept[run].counts(matches) for run, matches in runs.items()}
    why = "as asked for" if rows else "where the numbers of errors differ most"
    rows = rows or most_different(counts, NUM_PICTURES)
    if not rows:
        raise NothingToShow("all runs make the same number of errors in every image.")
    paths = [os.path.join(image_root, first.images[row]["file_name"]) for row in rows]
    for row, path in zip(rows, paths, strict=True):
        if problem := find_image_problem({**first.images[row], "file_name": path}, "RGB"):
            raise NothingToShow(f"the image '{path}' {problem}.")
    files = [f"{name}.png" for name in name_pictures([first.images[row] for row in rows])]
    write_table(_table(files, rows, counts), output / "tables" / "pictures.parquet")
    for row, path, file in zip(rows, paths, files, strict=True):
        save_picture(draw_picture(path, row, runs, kept), output / "pictures" / file)
    return f"{', '.join(files)}, {why}; each run at the threshold of its optimal LRP, by class."


def most_different(counts: Mapping[str, np.ndarray], number: int) -> list[int]:
    """Images in which the number of errors differs most from the baseline's in some run.

    Args:
        counts: counts of :meth:`Kept.counts` by run, the baseline first.
        number: largest number of images; those without a difference are never among them.
    """
    errors = np.stack([of_run[1:].sum(axis=0) for of_run in counts.values()])
    differences = np.abs(errors[1:] - errors[0]).max(axis=0)
    order = np.argsort(-differences, kind="stable")[:number]
    return [int(row) for row in order if differences[row] > 0]


def remove_pictures(output: Path) -> None:
    """Remove what an earlier :func:`write_pictures` wrote, and nothing else."""
    table = output / "tables" / "pictures.parquet"
    if table.exists():
        try:
            files = read_parquet(table, max_bytes=_MAX_BYTES, columns=["file"])["file"]
            names = set(files.to_pylist())
        except (OSError, ValueError):  # damaged
            names = set()
        for name in names:
            if isinstance(name, str) and name == Path(name).name:  # in that folder, not elsewhere
                (output / "pictures" / name).unlink(missing_ok=True)
        table.unlink()


def draw_picture(
    path: str, row: int, runs: Mapping[str, Matches], kept: Mapping[str, Kept]
) -> Image.Image:
    """Draw the ground truth, then each run; wrong detections are dashed and crossed.

    Args:
        path: path of the image.
        row: index of the image in :attr:`Matches.images`.
        runs: matches by run.
        kept: kept detections by run.
    """
    pixels = read_image(path, "RGB")
    first = next(iter(runs.values()))
    names = [{"id": i, "name": name} for i, name in enumerate(first.by_class, 1)]
    classes = describe_classes(names)
    notes = [note for note in first.objects if note["image_id"] == row + 1]
    panels = [draw_panel(pixels, mark_objects(notes, classes), f"ground truth ({len(notes)})")]
    for run, matches in runs.items():
        right, wrong, missed = kept[run].counts(matches)[:, row]
        title = f"{run}: {right} right, {wrong} wrong (✗), {missed} missed"
        panels.append(draw_panel(pixels, _marks(matches, kept[run], row, classes), title))
    return join_panels(panels)


def _marks(matches: Matches, kept: Kept, row: int, classes: Mapping) -> list[Mark]:
    """Marks of the detections, the highest score first; only the first ones have labels."""
    found = [
        (matches.detections[place], is_wrong)
        for places, is_wrong in ((kept.right, False), (kept.wrong, True))
        for place in places
    ]
    found = [(record, is_wrong) for record, is_wrong in found if record["image_id"] == row + 1]
    found.sort(key=lambda pair: -pair[0]["score"])
    marks = []
    for i, (record, is_wrong) in enumerate(found):
        name, color = classes[record["category_id"]]
        label = f"{'✗ ' if is_wrong else ''}{name} {record['score']:.2f}"
        label = label if i < _MAX_LABELS else ""
        marks.append(Mark(record["bbox"], label, color, is_dashed=is_wrong))
    return marks


def _table(files: Sequence[str], rows: Sequence[int], counts: Mapping[str, np.ndarray]) -> pa.Table:
    entries = [
        {
            "file": file,
            "run": run,
            **dict(zip(("right", "wrong", "missed"), of_run[:, row].tolist(), strict=True)),
        }
        for file, row in zip(files, rows, strict=True)
        for run, of_run in counts.items()
    ]
    return pa.Table.from_pylist(entries)
