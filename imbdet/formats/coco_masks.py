"""Checks of masks and keypoints of COCO's annotations, before libraries draw them.

These libraries trust their input: run lengths that end before the image does make them loop
forever, and of polygons far outside an image they trace every pixel.
"""

import reprlib
from typing import Any

import numpy as np

# Fields of an annotation that only some detectors read, and the key that makes them do so.
OPTIONAL_FIELDS = {"segmentation": "MODEL.MASK_ON", "keypoints": "MODEL.KEYPOINT_ON"}

# Numbers of a polygon: three points.
_LEAST_NUMBERS = 6


def find_mask_problem(mask: Any, height: int, width: int) -> str | None:
    """What is wrong with the "segmentation" of an annotation, to be put after that word.

    Args:
        mask: None, an empty list or an empty object for no mask; a list of polygons, each a list
            [x0, y0, x1, y1, ...]; or run lengths, {"size": [height, width], "counts": ...}, as a
            list or compressed to a text.
        height: height of the image in pixels.
        width: width of the image in pixels.
    """
    if mask is None or mask == [] or mask == {}:
        return None
    if isinstance(mask, list):
        return _find_polygons_problem(mask, max(height, width))
    if isinstance(mask, dict):
        return _find_runs_problem(mask, height, width)
    return f"{reprlib.repr(mask)}, neither polygons nor run lengths"


def drop_lines(mask: Any) -> Any:
    """The mask without polygons of fewer than three points, which have no area."""
    if not isinstance(mask, list):
        return mask
    return [polygon for polygon in mask if len(polygon) >= _LEAST_NUMBERS]


def find_keypoint_problem(keypoints: Any) -> str | None:
    """What is wrong with the "keypoints" of an annotation, to be put after that word."""
    if keypoints is None or keypoints == []:
        return None
    if not isinstance(keypoints, list) or len(keypoints) % 3 or not _are_within(keypoints, 1e12):
        return f"entry {reprlib.repr(keypoints)}, not a list of three numbers for each point"
    return None


def _find_polygons_problem(polygons: list[Any], side: int) -> str | None:
    if all(type(value) in (int, float) for value in polygons):
        return "that is a list of numbers; put each polygon into a list of its own, [[x, y, ...]]"
    for index, polygon in enumerate(polygons):
        where = f"whose polygon {index}"
        if not isinstance(polygon, list):
            return f"{where} is {reprlib.repr(polygon)}, not a list of numbers"
        # Polygons may reach a bit beyond their image, as objects at its edge do.
        if not _are_within(polygon, 4 * side):
            return f"{where} has an entry that is no number of pixels near the image"
        if len(polygon) % 2:
            return f"{where} has {len(polygon)} numbers, so that one has no x or no y"
    return None


def _are_within(values: list[Any], limit: float) -> bool:
    # Written so that NaN fails.
    return all(type(value) in (int, float) and -limit < value < limit for value in values)


def _find_runs_problem(mask: dict[str, Any], height: int, width: int) -> str | None:
    for key in ("size", "counts"):
        if key not in mask:
            return f"in run lengths without '{key}'"
    if mask["size"] != [height, width] or not all(type(side) is int for side in mask["size"]):
        return (
            f"of size {reprlib.repr(mask['size'])}, another than [height, width] of its image, "
            f"[{int(height)}, {int(width)}]"
        )
    counts = mask["counts"]
    if isinstance(counts, list):
        for index, count in enumerate(counts):
            if type(count) is not int or count < 0:
                return f"whose counts[{index}] is {reprlib.repr(count)}, not a number of pixels"
        total = sum(counts)
    elif isinstance(counts, str):
        runs = _decompress(counts)
        if runs is None or (runs < 0).any():
            return f"whose counts {reprlib.repr(counts)} are not run lengths as COCO writes them"
        total = int(runs.sum())
    else:
        return f"whose counts are {reprlib.repr(counts)}, neither a list nor a text"
    if total != height * width:
        return (
            f"whose run lengths sum to {reprlib.repr(total)}, not to the {int(height * width)} "
            "pixels of its image"
        )
    return None


def _decompress(text: str) -> np.ndarray | None:
    """(n,) int64 run lengths from COCO's compressed text; None if the text is none.

    A character holds five bits of a number, the lowest first, and a sixth that is set if more
    characters follow. From the fourth on, numbers are differences to the last but one.
    """
    codes = np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8).astype(np.int64) - 48
    is_last = (codes & 32) == 0
    if codes.size == 0 or codes.min() < 0 or codes.max() > 63 or not is_last[-1]:
        return None
    starts = np.concatenate([[0], np.flatnonzero(is_last)[:-1] + 1])
    lengths = np.diff(np.append(starts, codes.size))
    if lengths.max() > 7:  # images have fewer than 2^35 pixels
        return None
    shifts = 5 * (np.arange(codes.size) - np.repeat(starts, lengths))
    values = np.add.reduceat((codes & 31) << shifts, starts)
    is_negative = (codes[is_last] & 16) != 0
    values -= np.where(is_negative, np.int64(1) << (5 * lengths), 0)
    values[1::2] = values[1::2].cumsum()
    values[2::2] = values[2::2].cumsum()
    return values
