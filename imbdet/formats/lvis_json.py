"""Reads annotation files in LVIS's format, in which an image is annotated for some classes alone.

Gupta et al., "LVIS: A Dataset for Large Vocabulary Instance Segmentation", CVPR 2019,
https://arxiv.org/abs/1908.03195.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from imbdet.formats.annotation_format import COCO, AnnotationFormat
from imbdet.formats.coco_json import read_annotations
from imbdet.formats.record_fields import find_bad_record, is_file_name, name_record

# Fields of an image: classes that are known not to be in it, and classes of which not all objects
# are annotated. Both are lists of category ids.
NEGATIVE, NOT_EXHAUSTIVE = "neg_category_ids", "not_exhaustive_category_ids"
# Values of a category's "frequency", by how many training images have it.
FREQUENCIES = {"r": "rare", "c": "common", "f": "frequent"}


def read_lvis_json(
    path: str, *, optional: Collection[str] = (), if_missing: str = ""
) -> dict[str, Any]:
    """The content of an LVIS-format annotation file; see :func:`read_coco_json`.

    The ``file_name`` of an image is the end of its ``coco_url``, such as
    "val2017/000000397133.jpg"; without such an address, it stays as it is in the file.

    Raises:
        UserError: see :func:`read_coco_json`.
    """
    content = read_annotations(path, LVIS, optional=optional, if_missing=if_missing)
    for image in content["images"]:
        image["file_name"] = _file_name(image)
    return content


def _file_name(image: Mapping[str, Any]) -> Any:
    # detectron2 does the same; the "file_name" of LVIS v0.5 is that of an earlier edition of COCO.
    url = image.get("coco_url")
    return "/".join(url.split("/")[-2:]) if url and isinstance(url, str) else image.get("file_name")


def _find_problems(content: dict[str, Any]) -> Iterator[str | None]:
    yield _find_unnamed(content)
    if content["annotations"]:  # lists of test images lack the fields of an evaluation
        yield find_bad_record(content, "images", {NEGATIVE: _IDS, NOT_EXHAUSTIVE: _IDS})
        yield find_bad_record(content, "categories", {"frequency": _FREQUENCY})
        yield _find_stray(content)


def _find_unnamed(content: dict[str, Any]) -> str | None:
    for index, image in enumerate(content["images"]):
        if not is_file_name(_file_name(image)):
            return (
                f"{name_record(content, 'images', index)} has neither a 'coco_url' nor a "
                "'file_name' that names its file"
            )
    return None


def _find_stray(content: dict[str, Any]) -> str | None:
    known = {category["id"] for category in content["categories"]}
    for index, image in enumerate(content["images"]):
        for field in (NEGATIVE, NOT_EXHAUSTIVE):
            stray = next((key for key in image[field] if key not in known), None)
            if stray is not None:
                record = name_record(content, "images", index)
                return f"{record} has {stray!r} in {field}, which is not in 'categories'"
    return None


def _are_ids(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, int | str) for entry in value)


_IDS = (_are_ids, "a list of category ids")
_FREQUENCY = (
    lambda value: isinstance(value, str) and value in FREQUENCIES,
    f"one of {', '.join(map(repr, FREQUENCIES))}",
)
LVIS = AnnotationFormat(
    name="LVIS",
    fields={
        name: {field: rule for field, rule in fields.items() if field != "file_name"}
        for name, fields in COCO.fields.items()
    },
    find_problems=_find_problems,
)
