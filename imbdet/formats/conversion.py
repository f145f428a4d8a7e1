"""Converts images annotated in another format into a data set in COCO's, and collects defects."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image

from imbdet.errors import UserError
from imbdet.wording import counted


class Object(NamedTuple):
    """A class, a box (XYXY in pixels), and whether detections of it are neither right nor wrong."""

    class_name: str
    box: list[float]
    is_crowd: bool = False


class AnnotatedImage(NamedTuple):
    """An image file, its name in the data set, and its annotated size and objects.

    The size is width and height in pixels; with a 0 it is unknown.
    """

    path: Path
    file_name: str
    size: tuple[float, float]
    objects: list[Object]


def to_coco(
    images: Sequence[AnnotatedImage], classes: Sequence[str], found: defaultdict[str, list[str]]
) -> dict[str, Any]:
    """The content of an annotation file in COCO's format.

    Args:
        images: images, which get the ids 1, 2, ...
        classes: names of the classes, which get the ids 1, 2, ...
        found: places of defects by kind, to which new ones are added; see :func:`describe_defects`.

    Raises:
        UserError: an image cannot be read.
    """
    infos: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, image in enumerate(images, start=1):
        stored_size, size = measure(image.path)
        width, height = size
        if image.size == stored_size != size:
            found["turned"].append(f"'{image.file_name}'")
            continue
        if image.size != size and 0 not in image.size:
            annotated = " x ".join(f"{side:g}" for side in image.size)
            found["size"].append(
                f"'{image.file_name}' of {width} x {height} pixels, annotated as {annotated}"
            )
        infos.append(
            {"id": image_id, "file_name": image.file_name, "width": width, "height": height}
        )
        for number, (name, box, is_crowd) in enumerate(image.objects, start=1):
            where = f"object {number}, '{name}', of '{image.file_name}'"
            x0, y0, x1, y1 = cut = np.clip(box, 0, [width, height] * 2).tolist()
            if name not in classes:
                found["class"].append(where)
            elif not (x1 - x0 > 1 and y1 - y0 > 1):  # also true of NaN
                # Public annotations have boxes of a single pixel, which are mistakes.
                found["area"].append(where)
            else:
                if cut != box:
                    found["edge"].append(where)
                annotation = {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": list(classes).index(name) + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": int(is_crowd),
                }
                annotations.append(annotation)
    categories = [{"id": i, "name": name} for i, name in enumerate(classes, start=1)]
    return {"images": infos, "annotations": annotations, "categories": categories}


def describe_defects(found: Mapping[str, list[str]], classes: Sequence[str]) -> list[str]:
    """A line for each kind of defect that :func:`to_coco` found: their number and the first."""
    words = {
        "turned": "Images that were annotated without the turn that their EXIF orientation asks "
        "for, left out",
        "size": "Images of another size than annotated, of which that of the file counts; if they "
        "were resized since, their boxes are wrong",
        "class": f"Boxes of no class among {', '.join(classes)}, left out",
        "area": "Boxes without area, of one pixel, or outside their image, left out",
        "edge": "Boxes that reach beyond their image, cut at its edge",
    }
    return [f"{words[kind]}: {len(where)} (first: {where[0]})" for kind, where in found.items()]


def count_objects(content: dict[str, Any]) -> str:
    """The numbers of images and objects, such as "12 images, 30 cat, 4 dog"."""
    counts = Counter(note["category_id"] for note in content["annotations"])
    numbers = [f"{counts[category['id']]} {category['name']}" for category in content["categories"]]
    return ", ".join([counted(len(content["images"]), "image"), *numbers])


def measure(path: Path) -> tuple[tuple[int, int], tuple[int, int]]:
    """Width and height of an image as stored, and by its EXIF orientation, as detectron2 reads it.

    Raises:
        UserError: the image cannot be read.
    """
    try:
        with Image.open(path) as image:
            stored, orientation = image.size, image.getexif().get(ExifTags.Base.Orientation, 1)
    except OSError as error:
        raise UserError(f"The image '{path}' cannot be read: {error}.") from error
    is_quarter_turn = orientation in (5, 6, 7, 8)
    return stored, stored[::-1] if is_quarter_turn else stored
