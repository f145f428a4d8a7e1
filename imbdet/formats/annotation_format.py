"""COCO's format and those like it: the lists of a file, and the fields of their records."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from imbdet.formats.record_fields import BOX, CATEGORY_ID, FILE_NAME, ID, SIDE, TEXT, Fields


@dataclass(frozen=True)
class AnnotationFormat:
    """COCO's format or one like it.

    Attributes:
        name: name of the format, for messages.
        fields: fields that the records of each list must have.
        find_problems: function that yields what else is wrong with content that has these fields,
            or None.
    """

    name: str
    fields: Mapping[str, Fields]
    find_problems: Callable[[dict[str, Any]], Iterator[str | None]]


COCO = AnnotationFormat(
    name="COCO",
    fields={
        "images": {"id": ID, "file_name": FILE_NAME, "width": SIDE, "height": SIDE},
        "categories": {"id": CATEGORY_ID, "name": TEXT},
        "annotations": {"id": ID, "image_id": ID, "category_id": CATEGORY_ID, "bbox": BOX},
    },
    find_problems=lambda _: iter(()),
)
