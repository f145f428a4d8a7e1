"""Detectron2's dicts of an annotation file in COCO's or LVIS's format, read once and checked."""

import logging
import os
from collections import defaultdict
from collections.abc import Collection
from typing import Any

import pycocotools.mask
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.structures import BoxMode

from imbdet.config_files.keys import get_key
from imbdet.errors import UserError
from imbdet.formats.annotation_files import READERS
from imbdet.formats.coco_masks import OPTIONAL_FIELDS
from imbdet.formats.lvis_json import NEGATIVE, NOT_EXHAUSTIVE
from imbdet.programs.startup import without_collections
from imbdet.wording import counted

logger = logging.getLogger(__name__)

# Fields of an image that records have beside its file, size and id.
_IMAGE_FIELDS: dict[str, tuple[str, ...]] = {"coco": (), "lvis": (NEGATIVE, NOT_EXHAUSTIVE)}


def optional_fields(cfg: CfgNode) -> tuple[str, ...]:
    """The fields of annotations that this detector reads in addition to boxes."""
    return tuple(field for field, key in OPTIONAL_FIELDS.items() if get_key(cfg, key))


def load_coco_records(
    json_file: str,
    image_root: str,
    name: str,
    *,
    optional: Collection[str] = (),
    if_missing: str = "",
) -> list[dict]:
    """The records of detectron2's ``load_coco_json`` or ``load_lvis_json``, with annotation ids.

    These functions are not used, as they parse the file once more, which takes as long as a check;
    the first leaves out objects for masks that are no polygons, although only boxes may be read,
    the second needs the package lvis.

    Args:
        json_file: path of the annotation file.
        image_root: folder of the images.
        name: name of the data set, whose ``evaluator_type`` is "lvis" if the file is in that
            format; its metadata get ``thing_classes`` and ``thing_dataset_id_to_contiguous_id``.
        optional: see :func:`imbdet.formats.coco_json.read_coco_json`.
        if_missing: sentence of advice for when there is no such file.

    Raises:
        UserError: the file is wrong, or has other classes than the data set; the message names
            them.
    """
    with without_collections():
        return _load(json_file, image_root, name, optional, if_missing)


def _load(
    json_file: str, image_root: str, name: str, optional: Collection[str], if_missing: str
) -> list[dict]:
    logger.info(f"Reading the annotations of '{name}': {json_file}")
    evaluator_type = MetadataCatalog.get(name).get("evaluator_type", "coco")
    content = READERS[evaluator_type](json_file, optional=optional, if_missing=if_missing)
    number_classes = {"coco": _set_classes, "lvis": _set_lvis_classes}[evaluator_type]
    categories = sorted(content["categories"], key=lambda category: category["id"])
    class_of = number_classes(name, json_file, {c["id"]: c["name"] for c in categories})

    annotations = defaultdict(list)
    for note in content["annotations"]:
        annotations[note["image_id"]].append(note)
    records = []
    for image in sorted(content["images"], key=lambda image: image["id"]):
        size = image["height"], image["width"]
        notes = annotations.pop(image["id"], [])
        records.append(
            {
                "file_name": os.path.join(image_root, image["file_name"]),
                "height": image["height"],
                "width": image["width"],
                "image_id": image["id"],
                **{field: image.get(field, []) for field in _IMAGE_FIELDS[evaluator_type]},
                "annotations": [_convert(note, class_of, size) for note in notes],
                **({"weight": image["weight"]} if "weight" in image else {}),
            }
        )
    strays = sum(map(len, annotations.values()))
    if strays:
        logger.warning(
            f"'{json_file}': {counted(strays, 'annotation')} of images that are not listed in it "
            f"are ignored (first: image_id {next(iter(annotations))!r})."
        )
    return records


def _set_classes(name: str, json_file: str, found: dict[Any, str]) -> dict[Any, int]:
    """Set and return the class of each category id; ``found`` has names by ascending ids."""
    # Detectron2's own data sets and the shapes have classes in their metadata beforehand.
    metadata = MetadataCatalog.get(name)
    class_of = {category_id: index for index, category_id in enumerate(found)}
    ids = metadata.get("thing_dataset_id_to_contiguous_id", class_of)
    names = metadata.get("thing_classes", list(found.values()))
    expected = {category_id: names[index] for category_id, index in ids.items()}
    if found != expected:
        first = next(key for key in {**found, **expected} if found.get(key) != expected.get(key))
        raise UserError(
            f"Annotation file '{json_file}' has other categories than '{name}': that of id "
            f"{first!r} is {found.get(first)!r}, not {expected.get(first)!r}. Give data of your "
            "own another name, by an entry in DATASETS.COCO."
        )
    metadata.set(thing_classes=list(found.values()), thing_dataset_id_to_contiguous_id=class_of)
    return class_of


def _set_lvis_classes(name: str, json_file: str, found: dict[Any, str]) -> dict[Any, int]:
    """Set and return the class of each category id of an LVIS data set; see `_set_classes`."""
    metadata = MetadataCatalog.get(name)
    names = metadata.get("thing_classes")
    if names is None:
        return _set_classes(name, json_file, found)
    # Detectron2 has other names for some classes than the files, whose ids count from 1; and files
    # that are cut down to COCO's classes lack some of these.
    ids = {index + 1: index for index in range(len(names))}
    class_of = metadata.get("thing_dataset_id_to_contiguous_id", ids)
    strays = found.keys() - class_of.keys()
    if strays:
        raise UserError(
            f"Annotation file '{json_file}' has other categories than '{name}', which has none of "
            f"id {min(strays)!r}. Give data of your own another name, by an entry in DATASETS.LVIS."
        )
    metadata.set(thing_dataset_id_to_contiguous_id=class_of)
    return class_of


def _convert(note: dict[str, Any], class_of: dict[Any, int], size: tuple[int, int]) -> dict:
    fields = ("iscrowd", "ignore", "weight", "bbox", "id")
    converted = {key: note[key] for key in fields if key in note}
    converted["category_id"] = class_of[note["category_id"]]
    converted["bbox_mode"] = BoxMode.XYWH_ABS
    mask = note.get("segmentation")
    if mask:
        if isinstance(mask, dict) and isinstance(mask["counts"], list):
            mask = pycocotools.mask.frPyObjects(mask, *size)
        converted["segmentation"] = mask
    keypoints = note.get("keypoints")
    if keypoints:
        # COCO numbers pixels; detectron2 measures from the edge of the image to their middle.
        converted["keypoints"] = [
            value if i % 3 == 2 else value + 0.5 for i, value in enumerate(keypoints)
        ]
    return converted
