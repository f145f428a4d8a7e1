"""Reads COCO-format annotation files; errors name the record and the field."""

import json
import math
import os
import reprlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from numbers import Real
from pathlib import Path
from typing import Any

from imbdet.errors import UserError
from imbdet.formats.coco_masks import drop_lines, find_keypoint_problem, find_mask_problem
from imbdet.reading import read_json
from imbdet.wording import printable

# Fields of an annotation that only some detectors read, and the key by which they do.
OPTIONAL_FIELDS = {"segmentation": "MODEL.MASK_ON", "keypoints": "MODEL.KEYPOINT_ON"}

# Of boxes; see find_number_problem.
_NOT_FOUR, _NOT_FINITE, _TOO_LARGE = "not of four numbers", "with NaN or infinity", "beyond 1e12"
NUMBER_PROBLEMS = {_NOT_FOUR, _NOT_FINITE, _TOO_LARGE}

# Larger whole numbers do not fit into an array.
_MAX_WHOLE = 2**63
_MAX_SIDE = 2**31
_MAX_COORDINATE = 1e12

# Field -> (whether a value is right, what it should be).
Fields = Mapping[str, tuple[Callable[[Any], bool], str]]


def read_coco_json(
    path: str, *, optional: Collection[str] = (), if_missing: str = ""
) -> dict[str, Any]:
    """The content of a COCO-format annotation file with boxes, fit to be trained and tested on.

    It differs from the file as follows: ``OPTIONAL_FIELDS`` that are not requested are left out,
    unchecked; sizes of images are integers; ignored objects are crowds, too, for which an
    evaluation blames no detection; control characters in the names of classes are escaped; parts of
    masks without area are left out. The numbers of a box are not checked, since
    DATASETS.INVALID_BOXES decides what happens to invalid ones.

    Args:
        path: the annotation file.
        optional: those of ``OPTIONAL_FIELDS`` that are wanted.
        if_missing: a sentence that helps when there is no such file.

    Raises:
        UserError: names the file and the place in it: line and column, or record and field.
    """
    return read_annotations(path, COCO, optional=optional, if_missing=if_missing)


@dataclass(frozen=True)
class AnnotationFormat:
    """COCO's format or one like it.

    Attributes:
        name: for messages.
        fields: those that the records of each list must have.
        find_problems: yields, of content with these fields, what else is wrong, or None.
    """

    name: str
    fields: Mapping[str, Fields]
    find_problems: Callable[[dict[str, Any]], Iterator[str | None]]


def read_annotations(
    path: str, form: AnnotationFormat, *, optional: Collection[str], if_missing: str
) -> dict[str, Any]:
    """What :func:`read_coco_json` does, for any ``form``."""
    path = os.path.abspath(path)
    if not os.path.exists(path):
        raise UserError(f"There is no annotation file '{path}'. {if_missing}".strip())
    content: dict[str, Any] = _parse(path)
    problem = _first(chain(_find_problems(content, optional, form), form.find_problems(content)))
    if problem:
        raise UserError(f"Annotation file '{path}' is not in {form.name} format: {problem}.")
    _tidy(content, optional)
    return content


def fill_areas(content: dict[str, Any]) -> tuple[int, str]:
    """Give each annotation whose "area" is missing or cannot be one that of its box.

    Args:
        content: as :func:`read_coco_json` returns it; changed.

    Returns:
        How many had one that cannot be, and the first of them in words.
    """
    count, first = 0, ""
    for note in content["annotations"]:
        area = note.get("area")
        if type(area) in (int, float) and 0 < area < math.inf:
            continue
        if "area" in note:
            first = first or f"{reprlib.repr(area)} of annotation {note['id']!r}"
            count += 1
        note["area"] = max(note["bbox"][2], 0) * max(note["bbox"][3], 0)
    return count, first


def require_boxes(path: str, content: dict[str, Any]) -> None:
    """Refuse a box that nothing can be compared with.

    Raises:
        UserError: names the first with one of ``NUMBER_PROBLEMS``.
    """
    for note in content["annotations"]:
        problem = find_number_problem(note["bbox"])
        if problem:
            raise UserError(
                f"Annotation file '{path}' has a box {problem}: {reprlib.repr(note['bbox'])} of "
                f"annotation {note['id']!r}. Correct it or remove its annotation."
            )


def find_number_problem(box: Any) -> str | None:
    """What keeps the entries of a box from being coordinates, whatever the image.

    Returns:
        One of ``NUMBER_PROBLEMS``, or None.
    """
    try:
        values = tuple(box)
    except TypeError:
        return _NOT_FOUR
    if len(values) != 4:
        return _NOT_FOUR
    if not all(type(value) in (int, float) or _is_numpy_number(value) for value in values):
        return _NOT_FOUR
    if all(-_MAX_COORDINATE < value < _MAX_COORDINATE for value in values):  # NaN is not
        return None
    return _TOO_LARGE if all(map(_is_finite, values)) else _NOT_FINITE


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


def _find_problems(
    content: Any, optional: Collection[str], form: AnnotationFormat
) -> Iterator[str | None]:
    """What may be wrong, in an order in which each step can rely on those before it."""
    yield _find_missing_list(content)
    for name, fields in form.fields.items():
        yield find_bad_record(content, name, fields)
    for name, field in _IDS:
        yield _find_mixed(content, name, field)
    for name in COCO.fields:
        yield _find_repeated(name, "id", [record["id"] for record in content[name]])
    names = [printable(category["name"]) for category in content["categories"]]
    yield _find_repeated("categories", "name", names)  # by which metrics are told
    yield _find_bad_annotation(content)
    for field in optional:
        yield _find_bad_optional(content, field)


def _tidy(content: dict[str, Any], optional: Collection[str]) -> None:
    for image in content["images"]:
        image["width"], image["height"] = int(image["width"]), int(image["height"])
    for category in content["categories"]:
        category["name"] = printable(category["name"])
    unread = [field for field in OPTIONAL_FIELDS if field not in optional]
    for note in content["annotations"]:
        for field in unread:
            note.pop(field, None)
        if note.get("ignore"):
            note["iscrowd"] = 1
        if "segmentation" in note:
            note["segmentation"] = drop_lines(note["segmentation"])


def _find_missing_list(content: object) -> str | None:
    if not isinstance(content, dict):
        return f"it is a {type(content).__name__}, not an object with {', '.join(COCO.fields)}"
    content.setdefault("annotations", [])  # of which COCO's lists of test images have none
    for name in COCO.fields:
        if name not in content:
            return f"'{name}' is missing among its keys {reprlib.repr(list(content))}"
        if not isinstance(content[name], list):
            return f"'{name}' is not a list"
    return None if content["categories"] else "'categories' is empty"


def find_bad_record(content: dict[str, Any], name: str, fields: Fields) -> str | None:
    """The first record of a list that lacks one of the ``fields``, or has a wrong one."""
    for index, record in enumerate(content[name]):
        if not isinstance(record, dict):
            return f"{name}[{index}] is {reprlib.repr(record)}, not an object"
        for field, (is_right, form) in fields.items():
            if field not in record:
                return f"{name_record(content, name, index)} has no '{field}'"
            if not is_right(record[field]):
                value = reprlib.repr(record[field])
                return f"{name_record(content, name, index)} has {field} {value}, not {form}"
    return None


def _find_mixed(content: dict[str, Any], name: str, field: str) -> str | None:
    """Ids of two kinds have no order, and the number 10 is not the text "10"."""
    firsts: dict[bool, int] = {}
    for index, record in enumerate(content[name]):
        firsts.setdefault(isinstance(record[field], str), index)
    if len(firsts) < 2:
        return None
    number, text = firsts[False], firsts[True]
    return (
        f"{name_record(content, name, number)} has {field} {content[name][number][field]!r}, a "
        f"number, but {name_record(content, name, text)} has {content[name][text][field]!r}, a "
        "text: write all of them as numbers"
    )


def _find_repeated(name: str, field: str, values: list[Any]) -> str | None:
    counts = Counter(values)
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
    for field in ("iscrowd", "ignore"):
        odd = [note for note in content["annotations"] if note.get(field, 0) not in (0, 1)]
        if odd:
            return (
                f"annotation {odd[0]['id']!r} has {field} {reprlib.repr(odd[0][field])}, neither "
                f"0 nor 1{_first_of(odd)}"
            )
    return None


def _find_bad_optional(content: dict[str, Any], field: str) -> str | None:
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    for index, note in enumerate(content["annotations"]):
        if field not in note or note["image_id"] not in sizes:
            continue
        if field == "keypoints":
            problem = find_keypoint_problem(note[field])
        else:
            problem = find_mask_problem(note[field], *sizes[note["image_id"]])
        if problem:
            return (
                f"{name_record(content, 'annotations', index)} has a {field} {problem}; correct "
                f"it, or set {OPTIONAL_FIELDS[field]} to False to do without"
            )
    return None


def name_record(content: dict[str, Any], name: str, index: int) -> str:
    """A record of a list by its place and id."""
    return f"{name}[{index}] (id {reprlib.repr(content[name][index].get('id'))})"


def _first(problems: Iterable[str | None]) -> str | None:
    return next(filter(None, problems), None)


def _first_of(found: list[Any]) -> str:
    return f" (the first of {len(found):,})" if len(found) > 1 else ""


def _is_numpy_number(value: object) -> bool:
    # Data sets from Python may have them. A bool is no number here.
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return type(value) is int or (type(value) is float and value.is_integer())


def _is_id(value: Any) -> bool:
    return isinstance(value, str) or (_is_whole(value) and -_MAX_WHOLE <= value < _MAX_WHOLE)


def _is_side(value: Any) -> bool:
    return _is_whole(value) and 0 < value < _MAX_SIDE


def is_file_name(value: Any) -> bool:
    """Whether a value can be the name of a file."""
    if not isinstance(value, str) or not value or "\0" in value:
        return False
    try:
        os.fsencode(value)
    except UnicodeEncodeError:  # half a character
        return False
    return True


_ID = (_is_id, "a whole number of at most 64 bits")
_SIDE = (_is_side, "a whole number of pixels above 0")
_FILE_NAME = (is_file_name, "the name of a file")
_TEXT = (lambda value: isinstance(value, str), "a text")
_BOX = (lambda value: isinstance(value, list) and value != [], "a list of four numbers")

# What is read.
COCO = AnnotationFormat(
    name="COCO",
    fields={
        "images": {"id": _ID, "file_name": _FILE_NAME, "width": _SIDE, "height": _SIDE},
        "categories": {"id": _ID, "name": _TEXT},
        "annotations": {"id": _ID, "image_id": _ID, "category_id": _ID, "bbox": _BOX},
    },
    find_problems=lambda _: iter(()),
)
_IDS = [
    (name, field)
    for name, fields in COCO.fields.items()
    for field, rule in fields.items()
    if rule is _ID
]
