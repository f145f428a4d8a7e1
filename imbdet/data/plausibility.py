"""Checks of all boxes of a data set, of which single boxes may fail."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from detectron2.structures import BoxMode

from imbdet.wording import counted

# Boxes that are annotated by hand may reach beyond their image now and then, mostly by rounding.
MAX_SHARE = 0.05
_MIN_EXCESS = 2  # pixels
_MIN_RELATIVE_EXCESS = 0.01  # of the image's side


def find_implausible(records: Sequence[dict]) -> Iterator[str]:
    """Sentences of :func:`find_misread`, and about duplicates.

    Args:
        records: see :func:`find_misread`.
    """
    yield from find_misread(records)
    yield from _find_repeated(records)


def find_misread(records: Sequence[dict]) -> Iterator[str]:
    """Sentences about boxes that seem to be in another unit or form.

    Args:
        records: detectron2's dicts, with boxes of four numbers. Those without "width" and
            "height", which data sets of other programs may lack, have no borders.
    """
    boxes = corners(records)
    if len(boxes):
        extents = boxes[:, 2:] - boxes[:, :2]
        if extents.max() <= 1:
            yield (
                f"None of its {counted(len(boxes), 'box', 'boxes')} is wider or higher than a "
                f"pixel (first: {_describe(records, 0)}). Boxes are read in pixels: these may be "
                "fractions of the image."
            )
        overreaching = _overreach(records, boxes)
        if overreaching.mean() > MAX_SHARE:
            yield (
                f"{overreaching.sum():,} of its {counted(len(boxes), 'box', 'boxes')} reach beyond "
                f"their image (first: {_describe(records, int(overreaching.argmax()))}). Boxes are "
                "read as [left, top, width, height] in pixels: these may be corners "
                "[left, top, right, bottom], or of images of another size."
            )


def corners(records: Sequence[dict]) -> np.ndarray:
    """(N, 4) boxes of detectron2's dicts, XYXY in pixels."""
    notes = [note for record in records for note in record.get("annotations", [])]
    boxes = np.array([note["bbox"] for note in notes], dtype=float).reshape(-1, 4)
    is_xywh = np.array([note["bbox_mode"] == BoxMode.XYWH_ABS for note in notes], dtype=bool)
    boxes[is_xywh, 2:] += boxes[is_xywh, :2]
    return boxes


def _overreach(records: Sequence[dict], boxes: np.ndarray) -> np.ndarray:
    """(N,) bool, whether boxes reach beyond their image; see :func:`reach_beyond`."""
    sides = [[record.get(side, np.inf) for side in ("width", "height")] for record in records]
    numbers = [len(record.get("annotations", [])) for record in records]
    borders = np.repeat(np.array(sides, dtype=float).reshape(-1, 2), numbers, axis=0)
    return reach_beyond(boxes, borders)


def reach_beyond(boxes: np.ndarray, borders: np.ndarray) -> np.ndarray:
    """(N,) bool, whether boxes reach beyond their image by more than rounding.

    Args:
        boxes: (N, 4) XYXY in pixels.
        borders: (N, 2) width and height of each box's image in pixels.
    """
    excess = np.maximum(boxes[:, 2:] - borders, -boxes[:, :2])
    return (excess > np.maximum(_MIN_EXCESS, _MIN_RELATIVE_EXCESS * borders)).any(axis=1)


def _describe(records: Sequence[dict], index: int) -> str:
    """A description of the box at a place among all boxes."""
    for record in records:
        notes = record.get("annotations", [])
        if index < len(notes):
            break
        index -= len(notes)
    size = f", of {record['width']} x {record['height']} pixels" if "width" in record else ""
    return f"{describe_box(notes[index], record)}{size}"


def _find_repeated(records: Sequence[dict]) -> Iterator[str]:
    number, first = 0, ""
    for record in records:
        seen = set()
        for note in record.get("annotations", []):
            key = (note["category_id"], note.get("iscrowd", 0), *note["bbox"])
            if key in seen:
                first = first or describe_box(note, record)
                number += 1
            seen.add(key)
    if number:
        yield (
            f"{counted(number, 'annotation')} {'has' if number == 1 else 'have'} the class and box "
            f"of another one of the image (first: {first}): each counts as an object."
        )
    counts = Counter(record["file_name"] for record in records)
    repeated = [file_name for file_name, count in counts.items() if count > 1]
    if repeated:
        yield (
            f"{counted(len(repeated), 'image file')} {'is' if len(repeated) == 1 else 'are'} "
            f"listed more than once (first: '{os.path.basename(repeated[0])}', "
            f"{counts[repeated[0]]} times): each time counts as an image."
        )


def describe_box(annotation: dict, record: dict) -> str:
    """A description of a box: its numbers, its annotation and the file of its image."""
    # Data sets that detectron2 registers have no ids.
    note = f" of annotation {annotation['id']}" if "id" in annotation else ""
    return f"{annotation.get('bbox')}{note} in '{os.path.basename(record['file_name'])}'"
