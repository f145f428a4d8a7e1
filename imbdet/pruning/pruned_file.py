"""The content of an annotation file in COCO's or LVIS's format, without what was left out."""

from collections.abc import Collection, Mapping
from typing import Any

from imbdet.formats.ignored_notes import ignored


def without_images(content: Mapping[str, Any], left_out: Collection[str]) -> dict[str, Any]:
    """The content without some images and their annotations.

    Args:
        content: content of the file.
        left_out: ids of the images to leave out, as texts.
    """
    return {
        **content,
        "images": [image for image in content["images"] if str(image["id"]) not in left_out],
        "annotations": [
            note for note in content.get("annotations", []) if str(note["image_id"]) not in left_out
        ],
    }


def with_ignored(content: Mapping[str, Any], left_out: Collection[str]) -> dict[str, Any]:
    """The content with some objects ignored; without annotations they would be background.

    Args:
        content: content of the file.
        left_out: ids of the annotations to ignore, as texts.
    """
    return {
        **content,
        "annotations": [
            ignored(note) if str(note["id"]) in left_out else note
            for note in content.get("annotations", [])
        ],
    }
