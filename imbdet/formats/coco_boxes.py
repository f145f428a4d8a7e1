"""Boxes and areas of COCO's annotations, and checks of the boxes."""

import math
import reprlib
from numbers import Real
from typing import Any

from imbdet.errors import UserError

_NOT_FOUR, _NOT_FINITE, _TOO_LARGE = "not of four numbers", "with NaN or infinity", "beyond 1e12"
COORDINATE_PROBLEMS = {_NOT_FOUR, _NOT_FINITE, _TOO_LARGE}

_MAX_COORDINATE = 1e12


def find_coordinate_problem(box: Any) -> str | None:
    """Why the entries of a box are no coordinates, in any image.

    Returns:
        One of ``COORDINATE_PROBLEMS``, or None.
    """
    try:
        values = tuple(box)
    except TypeError:
        return _NOT_FOUR
    if len(values) != 4:
        return _NOT_FOUR
    if not all(type(value) in (int, float) or _is_numpy_number(value) for value in values):
        return _NOT_FOUR
    if all(-_MAX_COORDINATE < value < _MAX_COORDINATE for value in values):  # NaN is not
        return None
    return _TOO_LARGE if all(map(_is_finite, values)) else _NOT_FINITE


def require_boxes(path: str, content: dict[str, Any]) -> None:
    """Refuse boxes that cannot be compared with others.

    Raises:
        UserError: a box has one of ``COORDINATE_PROBLEMS``; the message names the first.
    """
    for note in content["annotations"]:
        problem = find_coordinate_problem(note["bbox"])
        if problem:
            raise UserError(
                f"Annotation file '{path}' has a box {problem}: {reprlib.repr(note['bbox'])} of "
                f"annotation {note['id']!r}. Correct it or remove its annotation."
            )


def fill_areas(content: dict[str, Any]) -> tuple[int, str]:
    """Set the "area" of each annotation without a valid one to that of its box.

    Args:
        content: content of a file from :func:`imbdet.formats.coco_json.read_coco_json`; changed.

    Returns:
        Number of invalid areas, and the first of them in words.
    """
    count, first = 0, ""
    for note in content["annotations"]:
        area = note.get("area")
        if type(area) in (int, float) and 0 < area < math.inf:
            continue
        if "area" in note:
            first = first or f"{reprlib.repr(area)} of annotation {note['id']!r}"
            count += 1
        note["area"] = max(note["bbox"][2], 0) * max(note["bbox"][3], 0)
    return count, first


def _is_numpy_number(value: object) -> bool:
    # Data sets from Python may have numpy's numbers. A bool is no number here.
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)
