"""Reads the label files of YOLO: a text file for each image, a line for each object."""

import math
from collections.abc import Sequence
from pathlib import Path

from imbdet.errors import UserError
from imbdet.formats.conversion import Object


def read_labels(path: Path, size: tuple[int, int], classes: Sequence[str]) -> list[Object]:
    """The objects of an image; none where there is no file, as in YOLO.

    A line has the number of a class, from 0, and shares of the image's width and height: centre
    (x, y), width and height of the box, or the corners (x, y) of an outline, whose box is taken.

    Args:
        path: path of the label file.
        size: width and height of the image in pixels.
        classes: names of the classes, in the order of their numbers.

    Raises:
        UserError: the file cannot be read, or a line has another form.
    """
    if not path.exists():
        return []
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The label file '{path}' cannot be read: {error}.") from error
    return [
        _parse(line, size, classes, f"Line {number} of '{path}'")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]


def _parse(line: str, size: tuple[int, int], classes: Sequence[str], where: str) -> Object:
    try:
        number, *shares = line.split()
        class_name = classes[int(number)] if int(number) >= 0 else None
        values = [float(share) for share in shares]
    except (ValueError, IndexError):
        class_name, values = None, []
    is_box, is_outline = len(values) == 4, len(values) >= 6 and len(values) % 2 == 0
    if class_name is None or not (is_box or is_outline) or not all(map(math.isfinite, values)):
        raise UserError(
            f"{where} is not the number of one of {len(classes)} classes and a box or an outline: "
            f"'{line[:100]}'. Correct or remove it."
        )
    width, height = size
    if is_box:
        x, y, w, h = values
        xs, ys = [x - w / 2, x + w / 2], [y - h / 2, y + h / 2]
    else:
        xs, ys = values[::2], values[1::2]
    return Object(
        class_name, [width * min(xs), height * min(ys), width * max(xs), height * max(ys)]
    )
