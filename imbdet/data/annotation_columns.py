"""The annotations of registered data sets as columns, whether their images are there or not."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from detectron2.data import MetadataCatalog

from imbdet.advice.annotated_images import AnnotatedImages
from imbdet.data.checks import describe_invalid, read_dataset, split_by_validity
from imbdet.data.objects import is_object
from imbdet.data.plausibility import corners, find_misread
from imbdet.errors import UserError


class ReadColumns(NamedTuple):
    """The annotations of data sets.

    Attributes:
        images: images with their valid boxes.
        num_invalid: number of invalid boxes.
        remarks: sentences about invalid boxes, and about boxes that seem to be in another unit or
            form.
    """

    images: AnnotatedImages
    num_invalid: int
    remarks: list[str]


def read_annotation_columns(names: Sequence[str]) -> ReadColumns:
    """Read data sets with the same classes.

    Args:
        names: names in detectron2's catalogs.

    Raises:
        UserError: a data set does not load, or has no sizes of images.
    """
    records: list[dict] = []
    num_invalid, remarks = 0, []
    for name in names:
        valid, found = split_by_validity(read_dataset(name))
        records += valid
        num_invalid += sum(map(len, found.values()))
        if found:
            remarks.append(describe_invalid(name, found))
        remarks += [f"Data set '{name}': {sentence}" for sentence in find_misread(valid)]
    notes = [note for record in records for note in record["annotations"]]
    numbers = [len(record["annotations"]) for record in records]
    columns = AnnotatedImages(
        sizes=np.array([_size_of(record) for record in records], dtype=float).reshape(-1, 2),
        image_idxs=np.arange(len(records)).repeat(numbers),
        boxes=corners(records),
        labels=np.array([note["category_id"] for note in notes], dtype=np.int64),
        is_region=np.array([not is_object(note) for note in notes], dtype=bool),
        is_ignored=np.array([bool(note.get("ignore", 0)) for note in notes], dtype=bool),
        classes=MetadataCatalog.get(names[0]).thing_classes,
        file_names=[os.path.basename(record["file_name"]) for record in records],
        ids=[note.get("id", place) for place, note in enumerate(notes)],
    )
    return ReadColumns(columns, num_invalid, remarks)


def _size_of(record: dict) -> tuple[int, int]:
    if not {"width", "height"} <= record.keys():
        raise UserError(
            f"'{record['file_name']}' has no 'width' and 'height' in its data set, by "
            "which objects are measured as the detector sees them."
        )
    return record["width"], record["height"]
