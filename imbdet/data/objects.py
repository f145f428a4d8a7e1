"""The annotations of a record that are objects: neither crowds nor ignored."""

from collections.abc import Mapping


def is_object(note: Mapping) -> bool:
    """Whether an annotation is an object that a detector learns.

    In data sets of other programs an ignored annotation need not be a crowd.
    """
    return not note.get("iscrowd") and not note.get("ignore")


def objects_of(record: Mapping) -> list[dict]:
    """The annotations of a record, detectron2's dict, that are objects."""
    return [note for note in record.get("annotations", ()) if is_object(note)]


def classes_of(record: Mapping) -> list[int]:
    """The class of each object of a record, detectron2's dict."""
    return [note["category_id"] for note in objects_of(record)]
