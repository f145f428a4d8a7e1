"""Plants faults in annotations, and stores the truth beside them.

The random numbers of a kind of fault depend neither on its share nor on the other kinds: objects
that have it at a low share have it at a high one, and in the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pycocotools.mask

from imbdet.data.shapes.drawing import image_rng
from imbdet.data.shapes.shapes_options import ShapesOptions

Box = list[float]  # left, top, width and height in pixels

# Number of halvings of an interval after which its ends are the same number.
_BISECTIONS = 60


@dataclass(frozen=True)
class FaultyImage:
    """The annotations of an image with planted faults.

    Attributes:
        annotations: annotations, some with wrong classes or boxes. All have "true_category_id",
            those with a wrong box "true_bbox".
        copies: second annotations of objects, which have a slightly different box, and
            "duplicate_of" in place of "id".
        missing: annotations that were left out, without faults.
    """

    annotations: list[dict] = field(default_factory=list)
    copies: list[dict] = field(default_factory=list)
    missing: list[dict] = field(default_factory=list)


def plant_faults(options: ShapesOptions, index: int, annotations: Sequence[dict]) -> FaultyImage:
    """Plant the faults of a training image.

    Crowds have none. An object may have several, but a missing one has no other, and a copy has
    those of its original.

    Args:
        options: shares and sizes of the faults.
        index: index of the image, from 0.
        annotations: annotations of the image in COCO's layout, without faults.
    """
    image = FaultyImage()
    image.annotations.extend(note for note in annotations if note["iscrowd"])
    objects = [note for note in annotations if not note["iscrowd"]]
    numbers = _random_numbers(options, index, len(objects))
    for note, label, place, (absence,), copy in zip(objects, *numbers, strict=True):
        if absence < options.missing_fraction:
            image.missing.append(note)
            continue
        made = _misplaced(_mislabelled(note, options, label), options, place)
        image.annotations.append(made)
        if copy[0] < options.duplicate_fraction:
            image.copies.append(_copied(made, options, copy[1:]))
    image.annotations.sort(key=lambda note: note["id"])
    return image


def _random_numbers(options: ShapesOptions, index: int, num_objects: int) -> list[np.ndarray]:
    """Numbers (num_objects, ...) in [0, 1) for each kind of fault; the first decides about it."""
    numbers = {"labels": 2, "boxes": 6, "missing": 1, "duplicates": 6}
    return [
        image_rng(options, "train", index, purpose).random((num_objects, count))
        for purpose, count in numbers.items()
    ]


def _mislabelled(note: dict, options: ShapesOptions, numbers: np.ndarray) -> dict:
    """``note`` with another class, any of which is equally likely, with probability LABEL_NOISE."""
    is_noisy, shift = numbers[0] < options.label_noise, numbers[1]
    if not is_noisy:
        return note
    num_classes = len(options.class_names)
    label = note["category_id"] - 1
    label = (label + 1 + int(shift * (num_classes - 1))) % num_classes
    return {**note, "category_id": label + 1}


def _misplaced(note: dict, options: ShapesOptions, numbers: np.ndarray) -> dict:
    """``note`` with another box, with probability BOX_NOISE."""
    if numbers[0] >= options.box_noise:
        return note
    box = _displaced(note["bbox"], options, options.box_noise_iou, numbers[1:])
    return {**_moved(note, box), "true_bbox": note["bbox"]}


def _copied(note: dict, options: ShapesOptions, numbers: np.ndarray) -> dict:
    box = _displaced(note["bbox"], options, options.duplicate_iou, numbers)
    copy = {**_moved(note, box), "duplicate_of": note["id"]}
    del copy["id"]
    return copy


def _displaced(
    box: Box, options: ShapesOptions, ious: tuple[float, float], numbers: np.ndarray
) -> Box:
    """A random box inside the image, whose IoU with ``box`` is in a range.

    Args:
        box: box of an object.
        options: options of the data set.
        ious: range of the IoU. Boxes that grow until they are cut off by the image reach an IoU
            below ``MIN_IOU``, since an object takes half of its side at most.
        numbers: (5,) random numbers in [0, 1) that determine the IoU, and the proportions of the
            changes of centre and sides.
    """
    iou = ious[0] + float(numbers[0]) * (ious[1] - ious[0])
    change = 2 * numbers[1:] - 1
    low, high = 0.0, 1.0
    while _iou(box, _changed(box, high * change, options.image_size)) > iou:
        low, high = high, 2 * high
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if _iou(box, _changed(box, middle * change, options.image_size)) > iou:
            low = middle
        else:
            high = middle
    return _changed(box, low * change, options.image_size)


def _changed(box: Box, change: np.ndarray, image_size: int) -> Box:
    """``box`` with centre (x, y) and sides changed by shares of its sides, inside the image."""
    corner, sides = np.array(box[:2]), np.array(box[2:])
    centre = corner + sides / 2 + change[:2] * sides
    sides = sides * (1 + change[2:])
    start, end = ((centre + sign * sides / 2).clip(0, image_size) for sign in (-1, 1))
    return [*start.tolist(), *(end - start).clip(0).tolist()]


def _iou(box: Box, other: Box) -> float:
    return float(pycocotools.mask.iou([box], [other], [0])[0, 0])


def _moved(note: dict, box: Box) -> dict:
    """``note`` with another box, to which its mask is stretched."""
    old_corner, old_sides = np.array(note["bbox"][:2]), np.array(note["bbox"][2:])
    corner, sides = np.array(box[:2]), np.array(box[2:])
    scales = sides / old_sides
    polygons = [np.array(polygon).reshape(-1, 2) for polygon in note["segmentation"]]
    return {
        **note,
        "bbox": box,
        "area": float(note["area"] * scales.prod()),
        "segmentation": [
            (corner + (polygon - old_corner) * scales).ravel().tolist() for polygon in polygons
        ],
    }
