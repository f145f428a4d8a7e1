"""What is wrong with a COCO-format annotation file, to the record."""

import json
import os
import reprlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

from imbdet.errors import UserError

_ID = ((int, float, str), "a number")
_NUMBER = ((int, float), "a number")
_TEXT = (str, "a text")
_BOX = (list, "a list of four numbers")

# What detectron2 reads: list -> field -> (types, in words). The numbers of a box are checked later,
# by DATASETS.INVALID_BOXES.
_FIELDS: dict[str, dict[str, tuple[Any, str]]] = {
    "images": {"id": _ID, "file_name": _TEXT, "width": _NUMBER, "height": _NUMBER},
    "categories": {"id": _ID, "name": _TEXT},
    "annotations": {"id": _ID, "image_id": _ID, "category_id": _ID, "bbox": _BOX},
}


def check_coco_json(path: str, *, if_missing: str = "") -> None:
    """Refuse a file that is not a COCO-format annotation file with boxes.

    Args:
        path: the annotation file.
        if_missing: a sentence that helps when there is no such file.

    Raises:
        UserError: names the file and the place in it: line and column, missing key or record id.
    """
    path = os.path.abspath(path)
    if not os.path.isfile(path):
        raise UserError(f"There is no annotation file '{path}'. {if_missing}".strip())
    content = _parse(path)
    problem = (
        _find_missing_list(content)
        or _first(_find_bad_record(content, name) for name in _FIELDS)
        or _first(_find_repeated(content, name, "id") for name in _FIELDS)
        or _find_repeated(content, "categories", "name")  # by which metrics are told
        or _find_bad_annotation(content)
    )
    if problem:
        raise UserError(f"Annotation file '{path}' is not in COCO format: {problem}.")


def _parse(path: str) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except json.JSONDecodeError as error:
        raise UserError(
            f"Annotation file '{path}' is not JSON, or not all of it: {error}; it ends after "
            f"{os.path.getsize(path):,} bytes."
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"Annotation file '{path}' is not text: byte {error.start} is not UTF-8."
        ) from error
    except OSError as error:
        raise UserError(f"Annotation file '{path}' cannot be read: {error.strerror}.") from error


def _find_missing_list(content: object) -> str | None:
    if not isinstance(content, dict):
        return f"it is a {type(content).__name__}, not an object with {', '.join(_FIELDS)}"
    for name in _FIELDS:
        if name not in content:
            return f"'{name}' is missing among its keys {reprlib.repr(list(content))}"
        if not isinstance(content[name], list):
            return f"'{name}' is not a list"
    return None if content["categories"] else "'categories' is empty"


def _find_bad_record(content: dict[str, Any], name: str) -> str | None:
    for index, record in enumerate(content[name]):
        if not isinstance(record, dict):
            return f"{name}[{index}] is {reprlib.repr(record)}, not an object"
        for field, (types, form) in _FIELDS[name].items():
            if field not in record:
                return f"{name}[{index}] (id {record.get('id')}) has no '{field}'"
            if not isinstance(record[field], types) or record[field] == []:
                value = reprlib.repr(record[field])
                return f"{name}[{index}] (id {record.get('id')}) has {field} {value}, not {form}"
    return None


def _find_repeated(content: dict[str, Any], name: str, field: str) -> str | None:
    counts = Counter(record[field] for record in content[name])
    repeated = [value for value, count in counts.items() if count > 1]
    if not repeated:
        return None
    first = repeated[0]
    return f"{field} {first!r} occurs {counts[first]} times in '{name}'{_first_of(repeated)}"


def _find_bad_annotation(content: dict[str, Any]) -> str | None:
    # Annotations of images that are not listed are ignored by detectron2, with a warning.
    image_ids = {image["id"] for image in content["images"]}
    annotations = [note for note in content["annotations"] if note["image_id"] in image_ids]
    if image_ids and content["annotations"] and not annotations:
        return (
            f"none of its annotations belongs to one of its images: the first has image_id "
            f"{content['annotations'][0]['image_id']!r}, the first image id "
            f"{content['images'][0]['id']!r}"
        )
    category_ids = {category["id"] for category in content["categories"]}
    stray = [note for note in annotations if note["category_id"] not in category_ids]
    if stray:
        return (
            f"category_id {stray[0]['category_id']!r} of annotation {stray[0]['id']!r} is not in "
            f"'categories'{_first_of(stray)}"
        )
    odd = [note for note in annotations if note.get("iscrowd", 0) not in (0, 1)]
    if odd:
        return (
            f"annotation {odd[0]['id']!r} has iscrowd {odd[0]['iscrowd']!r}, neither 0 nor 1"
            f"{_first_of(odd)}"
        )
    ignored = [note for note in annotations if note.get("ignore", 0)]
    if ignored:
        return (
            f"annotation {ignored[0]['id']!r} has 'ignore' set{_first_of(ignored)}, which "
            "detectron2 does not know: remove the annotation, or set 'iscrowd' instead"
        )
    return None


def _first(problems: Iterable[str | None]) -> str | None:
    return next(filter(None, problems), None)


def _first_of(found: list[Any]) -> str:
    return f" (the first of {len(found):,})" if len(found) > 1 else ""
