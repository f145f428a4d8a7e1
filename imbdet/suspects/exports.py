"""Suspects in the formats that annotation programs read."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from imbdet.formats.coco_boxes import find_coordinate_problem
from imbdet.suspects.box_arrays import corners
from imbdet.suspects.changes import notes_of_missing
from imbdet.suspects.suspect import Suspect

# How Label Studio names the files of a local folder.
_LOCAL_FILES = "/data/local-files/?d="


def to_label_studio(
    content: Mapping[str, Any], suspects: Iterable[Suspect], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Tasks of Label Studio's JSON format, those of the highest scores first.

    A task is an image with suspects: all its annotations, and a prediction for each suspect with
    what is proposed. See https://labelstud.io/guide/task_format.

    Args:
        content: content of the annotation file in COCO's or LVIS's format.
        suspects: suspects in it.
        classes: names, by class number.
    """
    names = {category["id"]: category["name"] for category in content["categories"]}
    notes, found = defaultdict(list), defaultdict(list)
    for note in _located(content):
        notes[str(note["image_id"])].append(note)
    for suspect in suspects:
        found[suspect.image_id].append(suspect)
    images = [image for image in content["images"] if str(image["id"]) in found]
    images.sort(key=lambda image: -max(s.score for s in found[str(image["id"])]))
    return [
        {
            "data": {"image": _LOCAL_FILES + quote(os.fsencode(image["file_name"]))},
            "annotations": [
                {
                    "result": [
                        _rectangle(
                            image,
                            corners(note["bbox"]),
                            names[note["category_id"]],
                            str(note["id"]),
                        )
                        for note in notes[str(image["id"])]
                    ]
                }
            ],
            "predictions": [
                _prediction(image, suspect, classes) for suspect in found[str(image["id"])]
            ],
        }
        for image in images
    ]


def to_fiftyone(
    content: Mapping[str, Any],
    suspects: Sequence[Suspect],
    classes: Sequence[str],
    category_ids: Sequence[Any],
) -> dict[str, Any]:
    """The annotations in COCO's format, with attributes that FiftyOne's importer reads.

    A suspect has "suspect", "suspect_score", "reason" and "proposed_class" or "proposed_box". A
    missing object is an annotation by itself.

    Args:
        content: see :func:`to_label_studio`.
        suspects: suspects in it.
        classes: names, by class number.
        category_ids: ids of the classes in the annotation file, by class number.
    """
    # An annotation that is suspected of several kinds has the one with the highest score.
    by_score = sorted(suspects, key=lambda suspect: -suspect.score)
    of_note = {suspect.id: _attributes(suspect, classes) for suspect in reversed(by_score)}
    notes = [{**note, **of_note.get(str(note["id"]), {})} for note in _located(content)]
    for suspect, note in notes_of_missing(content, suspects, category_ids):
        notes.append({**note, **_attributes(suspect, classes)})
    return {**content, "annotations": notes}


def _located(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The annotations with a box of four numbers; others were dropped by the training."""
    for note in content["annotations"]:
        if find_coordinate_problem(note["bbox"]) is None:
            yield note


def _attributes(suspect: Suspect, classes: Sequence[str]) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "suspect": suspect.kind,
        "suspect_score": suspect.score,
        "reason": suspect.reason,
    }
    if suspect.proposed_class is not None:
        attributes["proposed_class"] = classes[suspect.proposed_class]
    if suspect.proposed_box is not None:
        attributes["proposed_box"] = list(suspect.proposed_box)
    return attributes


def _prediction(
    image: Mapping[str, Any], suspect: Suspect, classes: Sequence[str]
) -> dict[str, Any]:
    """A prediction of what is proposed; empty for a duplicate, which is to be removed."""
    index = suspect.class_index if suspect.proposed_class is None else suspect.proposed_class
    box = suspect.proposed_box or suspect.box
    result = []
    if suspect.partner is None and index is not None and box is not None:
        result.append(_rectangle(image, box, classes[index], suspect.id or "missing"))
    return {
        "model_version": f"{suspect.kind}: {suspect.reason}",
        "score": suspect.score,
        "result": result,
    }


def _rectangle(
    image: Mapping[str, Any], box: Sequence[float], name: str, result_id: str
) -> dict[str, Any]:
    """A box as a result of Label Studio, in percent of the image."""
    width, height = image["width"], image["height"]
    x0, y0, x1, y1 = box
    return {
        "id": result_id,
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "x": 100 * x0 / width,
            "y": 100 * y0 / height,
            "width": 100 * (x1 - x0) / width,
            "height": 100 * (y1 - y0) / height,
            "rotation": 0,
            "rectanglelabels": [name],
        },
    }
