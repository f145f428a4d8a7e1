"""Reads COCO-format annotation files; errors name the record and the field."""

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from imbdet.errors import UserError
from imbdet.formats.annotation_format import COCO, AnnotationFormat
from imbdet.formats.coco_checks import find_problem
from imbdet.formats.coco_masks import OPTIONAL_FIELDS, drop_lines
from imbdet.untrusted.reading import read_json
from imbdet.wording import printable


def read_coco_json(
    path: str, *, optional: Collection[str] = (), if_missing: str = ""
) -> dict[str, Any]:
    """The content of a COCO-format annotation file with boxes, checked for training and testing.

    It differs from the file as follows: ``OPTIONAL_FIELDS`` that are not requested are left out,
    unchecked; sizes of images and ids of categories are integers; ignored objects become crowds, on
    which an evaluation counts no detection as wrong; control characters in the names of classes are
    escaped; parts of masks without area are left out. The numbers of a box are not checked, since
    DATASETS.INVALID_BOXES decides what happens to invalid ones.

    Args:
        path: path of the annotation file.
        optional: names of those ``OPTIONAL_FIELDS`` that are requested.
        if_missing: a sentence of advice for a file that does not exist.

    Raises:
        UserError: the file is missing or not valid; the message names the line and column, or the
            record and field.
    """
    return read_annotations(path, COCO, optional=optional, if_missing=if_missing)


def read_annotations(
    path: str, form: AnnotationFormat, *, optional: Collection[str], if_missing: str
) -> dict[str, Any]:
    """Read a file as :func:`read_coco_json` does, in any format ``form``.

    Raises:
        UserError: see :func:`read_coco_json`.
    """
    path = os.path.abspath(path)
    if not os.path.exists(path):
        raise UserError(f"There is no annotation file '{path}'. {if_missing}".strip())
    content: dict[str, Any] = _parse(path)
    problem = find_problem(content, form, optional)
    if problem:
        raise UserError(f"Annotation file '{path}' is not in {form.name} format: {problem}.")
    _tidy(content, optional)
    return content


def _parse(path: str) -> Any:
    try:
        return read_json(Path(path))
    except json.JSONDecodeError as error:
        raise UserError(
            f"Annotation file '{path}' is not JSON, or not all of it: {error}; it ends after "
            f"{os.path.getsize(path):,} bytes."
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"Annotation file '{path}' is not text: byte {error.start} is not UTF-8."
        ) from error
    except ValueError as error:
        raise UserError(f"Annotation file '{path}' cannot be read: {error}.") from error
    except OSError as error:
        raise UserError(f"Annotation file '{path}' cannot be read: {error.strerror}.") from error


def _tidy(content: dict[str, Any], optional: Collection[str]) -> None:
    for image in content["images"]:
        image["width"], image["height"] = int(image["width"]), int(image["height"])
    for category in content["categories"]:
        category["id"], category["name"] = int(category["id"]), printable(category["name"])
    unread = [field for field in OPTIONAL_FIELDS if field not in optional]
    for note in content["annotations"]:
        for field in unread:
            note.pop(field, None)
        note["category_id"] = int(note["category_id"])
        if note.get("ignore"):
            note["iscrowd"] = 1
        if "segmentation" in note:
            note["segmentation"] = drop_lines(note["segmentation"])
