"""Which annotations of a record are objects: neither crowds nor ignored."""

from collections.abc import Mapping


def is_object(note: Mapping) -> bool:
    """Whether an annotation is an object that a detector is taught.

    One that is ignored need be no crowd in data sets of other programs.
    """
    return not note.get("iscrowd") and not note.get("ignore")


def objects_of(record: Mapping) -> list[dict]:
    """The annotations of detectron2's dict that are objects."""
    return [note for note in record.get("annotations", ()) if is_object(note)]


def classes_of(record: Mapping) -> list[int]:
    """The class of each object of detectron2's dict."""
    return [note["category_id"] for note in objects_of(record)]
