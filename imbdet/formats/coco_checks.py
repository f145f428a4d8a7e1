"""Checks of the content of an annotation file; problems name the record and the field."""

import reprlib
from collections import Counter
from collections.abc import Collection, Iterator
from itertools import chain
from typing import Any

from imbdet.formats.annotation_format import COCO, AnnotationFormat
from imbdet.formats.coco_masks import OPTIONAL_FIELDS, find_keypoint_problem, find_mask_problem
from imbdet.formats.record_fields import ID, find_bad_record, name_record
from imbdet.wording import printable

_IDS = [
    (name, field)
    for name, fields in COCO.fields.items()
    for field, rule in fields.items()
    if rule is ID
]


def find_problem(content: Any, form: AnnotationFormat, optional: Collection[str]) -> str | None:
    """The first thing that is wrong with the content of an annotation file, in words.

    Args:
        content: content of the file; a missing list of annotations is added, empty.
        form: the format that it should have.
        optional: names of those ``OPTIONAL_FIELDS`` that are checked as well.

    Returns:
        The problem, or None.
    """
    problems = chain(_find_problems(content, form, optional), form.find_problems(content))
    return next(filter(None, problems), None)


def _find_problems(
    content: Any, form: AnnotationFormat, optional: Collection[str]
) -> Iterator[str | None]:
    """The result of each check, in an order in which each can rely on those before it."""
    yield _find_missing_list(content)
    for name, fields in form.fields.items():
        yield find_bad_record(content, name, fields)
    for name, field in _IDS:
        yield _find_mixed_ids(content, name, field)
    for name in COCO.fields:
        yield _find_repeated(name, "id", [record["id"] for record in content[name]])
    names = [printable(category["name"]) for category in content["categories"]]
    yield _find_repeated("categories", "name", names)  # which name metrics
    yield _find_foreign(content)
    yield _find_unknown_category(content)
    for flag in ("iscrowd", "ignore"):
        yield _find_bad_flag(content, flag)
    for field in optional:
        yield _find_bad_optional(content, field)


def _find_missing_list(content: object) -> str | None:
    if not isinstance(content, dict):
        return f"it is a {type(content).__name__}, not an object with {', '.join(COCO.fields)}"
    content.setdefault("annotations", [])  # missing in COCO's lists of test images
    for name in COCO.fields:
        if name not in content:
            return f"'{name}' is missing among its keys {reprlib.repr(list(content))}"
        if not isinstance(content[name], list):
            return f"'{name}' is not a list"
    return None if content["categories"] else "'categories' is empty"


def _find_mixed_ids(content: dict[str, Any], name: str, field: str) -> str | None:
    """Find ids of both types, which have no order: the number 10 is not the text "10"."""
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


def _find_foreign(content: dict[str, Any]) -> str | None:
    """Find whether all annotations lack a listed image; where some do, detectron2 ignores these."""
    image_ids = {image["id"] for image in content["images"]}
    notes = content["annotations"]
    if not image_ids or not notes or any(note["image_id"] in image_ids for note in notes):
        return None
    return (
        f"none of its annotations belongs to one of its images: the first has image_id "
        f"{notes[0]['image_id']!r}, the first image id {content['images'][0]['id']!r}"
    )


def _find_unknown_category(content: dict[str, Any]) -> str | None:
    image_ids = {image["id"] for image in content["images"]}
    category_ids = {category["id"] for category in content["categories"]}
    stray = [
        note
        for note in content["annotations"]
        if note["image_id"] in image_ids and note["category_id"] not in category_ids
    ]
    if not stray:
        return None
    return (
        f"category_id {stray[0]['category_id']!r} of annotation {stray[0]['id']!r} is not in "
        f"'categories'{_first_of(stray)}"
    )


def _find_bad_flag(content: dict[str, Any], field: str) -> str | None:
    odd = [note for note in content["annotations"] if note.get(field, 0) not in (0, 1)]
    if not odd:
        return None
    return (
        f"annotation {odd[0]['id']!r} has {field} {reprlib.repr(odd[0][field])}, neither 0 nor 1"
        f"{_first_of(odd)}"
    )


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


def _first_of(found: list[Any]) -> str:
    return f" (the first of {len(found):,})" if len(found) > 1 else ""
