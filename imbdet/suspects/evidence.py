"""What the ledger of a training says of the annotations of a data set.

Shape shorthand: A objects, P places.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imbdet.suspects.box_arrays import EDGES, corners
from imbdet.untrusted.parquet import columns_of

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Evidence:
    """The objects and places of the images that were shown, and what was said of them.

    Attributes:
        classes: names, by class number.
        objects: columns (A,) of the ledger's table of objects, see docs/ledger.md, without ignored
            ones; NaN stands for null.
        boxes: (A, 4) XYXY of the annotations, in pixels of the file, clipped to the image, as the
            training sees them.
        places: columns (P,) of the ledger's table of places; "seen" is how often the image was
            shown.
        place_boxes: (P, 4) mean boxes of the places, XYXY in pixels of the file, clipped.
        regions: (n, 4) boxes of the crowds and ignored objects of an image, by its id as text.
        sizes: (A, 2) width and height of the image of each object.
    """

    classes: Sequence[str]
    objects: Columns
    boxes: np.ndarray
    places: Columns
    place_boxes: np.ndarray
    regions: Mapping[str, np.ndarray]
    sizes: np.ndarray

    @classmethod
    def of(
        cls,
        content: Mapping[str, Any],
        ledger: Mapping[str, pa.Table],
        dataset: str,
        classes: Sequence[str],
    ) -> "Evidence":
        """Combine annotations with a ledger.

        Args:
            content: content of the annotation file, as the training read it.
            ledger: tables "objects", "images" and "places" of the ledger.
            dataset: name of the data set, whose rows of the ledger count.
            classes: names, by class number.

        Raises:
            KeyError: the ledger has an annotation or image that the file lacks.
        """
        tables = {
            name: columns_of(table.filter(pc.field("dataset") == dataset))
            for name, table in ledger.items()
        }
        # Annotations that the ledger lacks may have invalid boxes: the training dropped them.
        boxes = {str(note["id"]): note["bbox"] for note in content["annotations"]}
        sizes = {str(image["id"]): (image["width"], image["height"]) for image in content["images"]}
        everything, images = tables["objects"], tables["images"]
        of_all = _stacked([corners(boxes[note_id]) for note_id in everything["id"]], 4)
        sizes_of_all = _stacked([sizes[image] for image in everything["image_id"]], 2)
        of_all = inside(of_all, sizes_of_all)
        is_ignored = everything["is_ignored"].astype(bool)
        objects = {name: values[~is_ignored] for name, values in everything.items()}
        ignored = rows_of_images({"image_id": everything["image_id"][is_ignored]})
        seen = dict(zip(images["image_id"], images["seen"], strict=True))
        places = dict(tables["places"])
        places["seen"] = np.array([seen[image] for image in places["image_id"]])
        place_boxes = np.stack([places[edge] for edge in EDGES], axis=-1)
        place_sizes = _stacked([sizes[image] for image in places["image_id"]], 2)
        return cls(
            classes=classes,
            objects=objects,
            boxes=of_all[~is_ignored],
            places=places,
            place_boxes=inside(place_boxes.astype(float), place_sizes),
            regions={image: of_all[is_ignored][rows] for image, rows in ignored.items()},
            sizes=sizes_of_all[~is_ignored],
        )


def inside(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(R, 4) XYXY boxes, clipped to images of the width and height (R, 2)."""
    return np.asarray(np.clip(boxes, 0, np.tile(sizes, 2)))


def rows_of_images(columns: Columns) -> dict[str, np.ndarray]:
    """Numbers of the rows of each image, by its id."""
    images, numbers = np.unique(columns["image_id"], return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(numbers, minlength=len(images)))[:-1])
    return dict(zip(images.tolist(), parts, strict=True)) if len(images) else {}


def _stacked(rows: Sequence[Sequence[float]], width: int) -> np.ndarray:
    return np.array(rows, dtype=float).reshape(-1, width)
